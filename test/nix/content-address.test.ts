import { deepEqual } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import {
  contentAddressMatches,
  formatContentAddress,
  parseContentAddress,
  storePathOfContentAddress,
} from '../../src/nix/content-address.ts'
import { type Hash, digestLength, formatHash, parseHash } from '../../src/nix/hash.ts'
import { parseStoreDir } from '../../src/nix/store-path.ts'
import { contentAddressed, must, path, storeDir } from './fixtures.ts'

const seed = 20260730
const alone = { selfReference: false }
const withSelf = { selfReference: true }
const hello = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'
const ca = (text: string) => must(parseContentAddress(text))
const dep = path('svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep')

t.test('the store path of a content address is the one that Nix gives it', async (t) => {
  const narHash = 'sha256:0a430879c266f8b57f4092a0f935cf3facd48bbccde5760d4748ca405171e969'
  const vectors = [
    [`fixed:${hello}`, '3fhdhfqli6qm669f7sz8d8v6xz24zrqc-hello'],
    [`text:${hello}`, 'i4f75pn3bxkxdk2kld86k5qazq4cqj8i-hello'],
    [`fixed:r:${narHash}`, 'yqi18hzk6wxzj2ksv7x9k8rnnzwirzz9-hello'],
  ] as const
  for (const [text, expected] of vectors) {
    const storePath = storePathOfContentAddress(ca(text), 'hello', [], alone, storeDir)
    t.equal(storePath?.baseName, expected)
  }
})

for (const [baseName, references, text] of contentAddressed) {
  t.test(`${baseName} follows from what Nix wrote, and from nothing else`, async (t) => {
    const claim = { storePath: path(baseName), references: references.map(path), ca: ca(text) }
    t.equal(formatContentAddress(claim.ca), text)
    t.ok(contentAddressMatches(claim, storeDir))
    const twice = [...claim.references, ...claim.references].reverse()
    t.ok(contentAddressMatches({ ...claim, references: twice }, storeDir), 'references are a set')

    const { name, hash } = claim.storePath
    const renamed = path(`${hash}-${name}x`)
    t.notOk(contentAddressMatches({ ...claim, storePath: renamed }, storeDir), 'other name')
    const more = [...claim.references, dep]
    t.notOk(contentAddressMatches({ ...claim, references: more }, storeDir), 'more references')
    if (references.length > 0) {
      t.notOk(contentAddressMatches({ ...claim, references: [] }, storeDir), 'fewer references')
    }
    const digest = claim.ca.hash.bytes.map((byte, i) => (i === 0 ? byte ^ 1 : byte))
    const changed = { ...claim.ca, hash: { ...claim.ca.hash, bytes: digest } }
    t.notOk(contentAddressMatches({ ...claim, ca: changed }, storeDir), 'other digest')
    const elsewhere = must(parseStoreDir('/gnu/store'))
    t.notOk(contentAddressMatches(claim, elsewhere), 'other store')
    t.notOk(contentAddressMatches({ ...claim, ca: null }, storeDir), 'no content address')
  })
}

t.test('a text that refers to itself has no store path', async (t) => {
  t.equal(storePathOfContentAddress(ca(`text:${hello}`), 'hello', [], withSelf, storeDir), null)
})

t.test('only texts and NARs by sha256 may have references', async (t) => {
  const sha1 = `sha1:${'00'.repeat(20)}`
  for (const text of [`fixed:${hello}`, `fixed:r:${sha1}`, `fixed:git:${hello}`]) {
    t.ok(storePathOfContentAddress(ca(text), 'hello', [], alone, storeDir))
    t.equal(storePathOfContentAddress(ca(text), 'hello', [dep], alone, storeDir), null, text)
    t.equal(storePathOfContentAddress(ca(text), 'hello', [], withSelf, storeDir), null, text)
  }
})

t.test('a text by another algorithm than sha256 has no store path', async (t) => {
  const hash = must(parseHash(`sha1:${'00'.repeat(20)}`))
  const text = { method: 'text', hash } as const
  t.equal(storePathOfContentAddress(text, 'hello', [], alone, storeDir), null)
  t.equal(parseContentAddress(`text:sha1:${'00'.repeat(20)}`), null)
})

t.test('a git tree by another algorithm than sha1 and sha256 is refused', async (t) => {
  t.ok(parseContentAddress(`fixed:git:sha1:${'00'.repeat(20)}`))
  t.equal(parseContentAddress(`fixed:git:md5:${'00'.repeat(16)}`), null)
  t.equal(parseContentAddress(`fixed:git:sha512:${'00'.repeat(64)}`), null)
})

t.test('a name that no store path can have has no store path', async (t) => {
  for (const name of ['', '.', 'a/b', 'a'.repeat(212)]) {
    t.equal(storePathOfContentAddress(ca(`fixed:${hello}`), name, [], alone, storeDir), null)
  }
})

t.test('the paths of unusual methods are those of an independent derivation', async (t) => {
  const inner = createHash('sha256').update(`fixed:out:git:${hello}:`).digest('hex')
  const outer = createHash('sha256').update(`output:out:sha256:${inner}:/nix/store:tree`).digest()
  const folded = Buffer.alloc(20)
  outer.forEach((byte, i) => (folded[i % 20] = (folded[i % 20] ?? 0) ^ byte))
  const number = folded.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
  const digits = Array.from({ length: 32 }, (_, i) => Number((number >> BigInt(155 - 5 * i)) & 31n))
  const hash = digits.map((digit) => '0123456789abcdfghijklmnpqrsvwxyz'.charAt(digit)).join('')
  const storePath = storePathOfContentAddress(ca(`fixed:git:${hello}`), 'tree', [], alone, storeDir)
  t.equal(storePath?.baseName, `${hash}-tree`)
})

t.test('a content address is read with its digest in base16, nix32 and base64', async (t) => {
  const hash = must(parseHash(hello))
  const base64 = Buffer.from(hash.bytes).toString('base64')
  for (const text of [hello, formatHash(hash), `sha256:${base64}`]) {
    t.same(parseContentAddress(`fixed:r:${text}`), { method: 'recursive', hash })
  }
})

t.test('what is no content address is refused', async (t) => {
  const sri = `sha256-${Buffer.from(must(parseHash(hello)).bytes).toString('base64')}`
  const refused = [
    '',
    'text:',
    'fixed:',
    'fixed:r:',
    hello,
    `source:${hello}`,
    `fixed:${sri}`,
    `text:${sri}`,
    `fixed:R:${hello}`,
    `fixed:r:r:${hello}`,
    `fixed:git:r:${hello}`,
    `fixed:nar:${hello}`,
    `text:r:${hello}`,
    ` fixed:${hello}`,
    `fixed:${hello} `,
    `fixed: ${hello}`,
    `Fixed:${hello}`,
    `fixed:blake3:${hello.slice(7)}`,
    `fixed:${hello}${'0'.repeat(1_000_000)}`,
  ]
  for (const text of refused) t.equal(parseContentAddress(text), null, text.slice(0, 90))
})

t.test('every content address comes back as it was', async () => {
  const hashes = fc
    .constantFrom('md5', 'sha1', 'sha256', 'sha512')
    .chain((algorithm): fc.Arbitrary<Hash> => {
      const length = digestLength[algorithm]
      const bytes = fc.uint8Array({ minLength: length, maxLength: length })
      return bytes.map((bytes) => ({ algorithm, bytes }))
    })
  const methods = fc.constantFrom('text', 'flat', 'recursive', 'git')
  fc.assert(
    fc.property(methods, hashes, (method, hash) => {
      const text = formatContentAddress({ method, hash })
      const allowed =
        method === 'text'
          ? hash.algorithm === 'sha256'
          : method !== 'git' || ['sha1', 'sha256'].includes(hash.algorithm)
      deepEqual(parseContentAddress(text), allowed ? { method, hash } : null)
    }),
    { seed },
  )
})

t.test(
  'every change of one character breaks the tie between path and content address',
  async (t) => {
    const [baseName, , text] = contentAddressed[4]
    const storePath = path(baseName)
    for (let i = 0; i < text.length; i++) {
      for (const character of ['0', '1', 'z', 'r', ':', ' ']) {
        if (text[i] === character) continue
        const mutated = parseContentAddress(text.slice(0, i) + character + text.slice(i + 1))
        const claim = { storePath, references: [], ca: mutated }
        if (contentAddressMatches(claim, storeDir)) t.fail(`${character} at ${i}`)
      }
    }
  },
)
