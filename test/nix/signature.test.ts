import { deepEqual, equal } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import nacl from 'tweetnacl'
import { decodeBase64, encodeBase64 } from '../../src/nix/base64.ts'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import { parseHash } from '../../src/nix/hash.ts'
import {
  formatPublicKey,
  formatSecretKey,
  formatSignature,
  generateSecretKey,
  isKeyName,
  parsePublicKey,
  parseSecretKey,
  parseSignature,
  publicKeyOf,
  sign,
  verifySignature,
} from '../../src/nix/signature.ts'
import { labPublicKey, labSecretKey, must, path, storeDir } from './fixtures.ts'

const seed = 20260730
const official = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
const exampleKey = 'lab.test-1:C1kv73MotiJCBd8w6o54exHy/y7VDE8pLjl4M2xoAt0='
const exampleSignature =
  'lab.test-1:2KtHBsukdZyAPsIVs96x3nmdWHjJSAJF9IrPye+0WbFsl72V9r+4bYbAuiCUUFUsEgYYr1ZDH4NBepuN5+FnCA=='
const exampleFingerprint =
  '1;/nix/store/05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top;sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv;310288;/nix/store/05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top,/nix/store/svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'
const top = path('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-top')
const dep = path('svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep')
const narHash = must(parseHash('sha256:1cam1rn5nrgrpa0qkp3j6ng7vlpr18rvajb10vc0cznyk1xnankv'))

t.test('the fingerprint is the one that Nix signs', async (t) => {
  const claim = { storePath: top, narHash, narSize: 310288n, references: [top, dep] }
  t.equal(fingerprint(claim, storeDir), exampleFingerprint)
  const key = must(parsePublicKey(exampleKey))
  t.ok(verifySignature(key, exampleFingerprint, must(parseSignature(exampleSignature))))
})

t.test('the fingerprint does not depend on the order or repetition of references', async (t) => {
  const claim = { storePath: top, narHash, narSize: 310288n, references: [dep, top, dep, top] }
  t.equal(fingerprint(claim, storeDir), exampleFingerprint)
  t.match(fingerprint({ ...claim, references: [] }, storeDir), /;310288;$/)
})

t.test('the fingerprint holds a size beyond 2⁵³ exactly', async (t) => {
  const claim = { storePath: top, narHash, narSize: 2n ** 64n - 1n, references: [] }
  t.match(fingerprint(claim, storeDir), ';18446744073709551615;')
})

t.test('keys and signatures come back byte by byte', async (t) => {
  for (const text of [official, exampleKey, labPublicKey]) {
    t.equal(formatPublicKey(must(parsePublicKey(text))), text)
  }
  t.equal(formatSecretKey(must(parseSecretKey(labSecretKey))), labSecretKey)
  t.equal(formatSignature(must(parseSignature(exampleSignature))), exampleSignature)
  t.equal(formatPublicKey(publicKeyOf(must(parseSecretKey(labSecretKey)))), labPublicKey)
})

t.test('a signature is split at the first colon of its text', async (t) => {
  t.equal(must(parseSignature(exampleSignature)).keyName, 'lab.test-1')
  t.equal(parseSignature(exampleSignature.replace('lab.test-1', 'a:b')), null)
})

const bytes64 = encodeBase64(new Uint8Array(64).fill(7))
const malformed: readonly (readonly [string, string])[] = [
  ['an empty text', ''],
  ['no colon', bytes64],
  ['an empty name', `:${bytes64}`],
  ['nothing after the colon', 'a:'],
  ['white space in the name', `a b:${bytes64}`],
  ['a line break in the name', `a\n:${bytes64}`],
  ['an invisible character in the name', `a\u202e:${bytes64}`],
  ['white space before the bytes', `a: ${bytes64}`],
  ['a line break after the bytes', `a:${bytes64}\n`],
  ['63 bytes', `a:${encodeBase64(new Uint8Array(63))}`],
  ['65 bytes', `a:${encodeBase64(new Uint8Array(65))}`],
  ['missing padding', `a:${bytes64.slice(0, -2)}`],
  ['unused bits that are not zero', `a:${bytes64.replace('w==', 'x==')}`],
  ['the alphabet of URLs', `a:${encodeBase64(new Uint8Array(64).fill(255)).replaceAll('/', '_')}`],
  ['text after the padding', `a:${bytes64}AAAA`],
  ['a megabyte', `a:${'A'.repeat(1_000_000)}`],
]
for (const [what, text] of malformed) {
  t.test(`a signature or secret key with ${what} is refused`, async (t) => {
    t.equal(parseSignature(text), null)
    t.equal(parseSecretKey(text), null)
  })
}

t.test('a public key of another length than 32 bytes is refused', async (t) => {
  for (const length of [0, 31, 33, 64]) {
    t.equal(parsePublicKey(`a:${encodeBase64(new Uint8Array(length))}`), null)
  }
})

t.test('a secret key whose public half is not that of its seed is refused', async (t) => {
  const bytes = must(decodeBase64(must(labSecretKey.split(':')[1])))
  for (const index of [0, 31, 32, 63]) {
    const broken = bytes.map((byte, i) => (i === index ? byte ^ 1 : byte))
    t.equal(parseSecretKey(`lab.test-1:${encodeBase64(broken)}`), null)
  }
})

t.test('a secret key does not show its secret when it is printed', async (t) => {
  const printed = inspect(must(parseSecretKey(labSecretKey)), { depth: 9, showHidden: true })
  const seedBytes = must(decodeBase64(must(labSecretKey.split(':')[1]))).subarray(0, 32)
  t.notMatch(printed, encodeBase64(seedBytes).slice(0, 20))
  t.notMatch(printed, [...seedBytes.subarray(0, 5)].join(', '))
})

t.test('a generated key signs what its public half verifies', async (t) => {
  const secret = generateSecretKey('weir-1')
  const again = must(parseSecretKey(formatSecretKey(secret)))
  const signature = sign(again, 'message')
  t.equal(signature.keyName, 'weir-1')
  t.ok(verifySignature(publicKeyOf(secret), 'message', signature))
  t.notOk(verifySignature(publicKeyOf(secret), 'massage', signature))
  t.not(formatSecretKey(generateSecretKey('weir-1')), formatSecretKey(secret))
})

t.test('a key cannot be generated under a name that could not be read again', async (t) => {
  for (const name of ['', 'a:b', 'a b', 'a\n']) {
    t.notOk(isKeyName(name))
    t.throws(() => generateSecretKey(name), RangeError)
  }
})

t.test('the name in a signature decides nothing', async (t) => {
  const signature = must(parseSignature(exampleSignature))
  const key = must(parsePublicKey(exampleKey))
  t.ok(verifySignature(key, exampleFingerprint, { ...signature, keyName: 'other' }))
  t.notOk(verifySignature(must(parsePublicKey(official)), exampleFingerprint, signature))
})

t.test('signatures are those that an independent implementation makes and accepts', async () => {
  const inputs = fc.tuple(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.nat(511),
  )
  fc.assert(
    fc.property(inputs, ([seedBytes, message, bit]) => {
      const pair = nacl.sign.keyPair.fromSeed(seedBytes)
      const secret = must(parseSecretKey(`k:${encodeBase64(pair.secretKey)}`))
      const signature = sign(secret, message)
      const messageBytes = new Uint8Array(Buffer.from(message))
      deepEqual(signature.bytes, nacl.sign.detached(messageBytes, pair.secretKey))
      equal(verifySignature(publicKeyOf(secret), message, signature), true)
      const broken = signature.bytes.slice()
      broken[bit >> 3] = (broken[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      equal(nacl.sign.detached.verify(messageBytes, broken, pair.publicKey), false)
      const forged = { keyName: 'k', bytes: broken }
      equal(verifySignature(publicKeyOf(secret), message, forged), false)
    }),
    { seed, numRuns: 12 },
  )
})

t.test('every change of one character breaks a signature, or its name alone', async (t) => {
  const key = must(parsePublicKey(exampleKey))
  for (let i = 0; i < exampleSignature.length; i++) {
    for (const character of ['A', 'B', '=', ':', '/', '\n']) {
      if (exampleSignature[i] === character) continue
      const text = exampleSignature.slice(0, i) + character + exampleSignature.slice(i + 1)
      const signature = parseSignature(text)
      if (signature === null || i < 'lab.test-1'.length) continue
      if (verifySignature(key, exampleFingerprint, signature)) t.fail(`${character} at ${i}`)
    }
  }
})

t.test('a signature with its scalar beyond the group order is refused', async (t) => {
  // The same point with S + L: naive implementations accept both, so one claim would have many signatures.
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const signature = must(parseSignature(exampleSignature))
  const bytes = signature.bytes.slice()
  let scalar = order
  for (let i = 63; i >= 32; i--) scalar += BigInt(bytes[i] ?? 0) << BigInt(8 * (i - 32))
  for (let i = 32; i < 64; i++) bytes[i] = Number((scalar >> BigInt(8 * (i - 32))) & 255n)
  const key = must(parsePublicKey(exampleKey))
  t.notOk(verifySignature(key, exampleFingerprint, { ...signature, bytes }))
})
