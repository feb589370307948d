import { deepEqual } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { decodeBase64, encodeBase64 } from '../../src/nix/base64.ts'
import {
  type HashAlgorithm,
  digestLength,
  formatDigestHex,
  formatHash,
  hashEquals,
  parseHash,
} from '../../src/nix/hash.ts'
import { decodeNix32, encodeNix32 } from '../../src/nix/nix32.ts'
import { must } from './fixtures.ts'

const seed = 20260730
const alphabet = '0123456789abcdfghijklmnpqrsvwxyz'
const bytesOf = (maxLength: number) => fc.uint8Array({ maxLength })
const digestOf = (algorithm: HashAlgorithm, text: string) =>
  new Uint8Array(createHash(algorithm).update(text).digest())

t.test('nix32 text is what Nix writes', async (t) => {
  const vectors = [
    ['sha256', '', '0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73'],
    ['sha256', 'abc', '1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s'],
    ['sha1', '', '143xibwh31h9bvxzalr0sjvbbvpa6ffs'],
    ['md5', '', '3y8bwfr609h3lh9ch0izcqq7fl'],
  ] as const
  for (const [algorithm, text, expected] of vectors) {
    t.equal(encodeNix32(digestOf(algorithm, text)), expected)
    t.same(decodeNix32(expected), digestOf(algorithm, text))
  }
  t.equal(encodeNix32(new Uint8Array(0)), '')
  t.same(decodeNix32(''), new Uint8Array(0))
})

t.test('nix32 text is the digits of a little-endian number', async () => {
  // An independent reading of the format: one big number, written in base 32.
  const naive = (bytes: Uint8Array) => {
    let number = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
    let text = ''
    for (let digits = Math.ceil((bytes.length * 8) / 5); digits > 0; digits--) {
      text = alphabet.charAt(Number(number % 32n)) + text
      number /= 32n
    }
    return text
  }
  fc.assert(
    fc.property(bytesOf(80), (bytes) => encodeNix32(bytes) === naive(bytes)),
    { seed },
  )
})

t.test('nix32 comes back as the same bytes, and no other text does', async () => {
  fc.assert(
    fc.property(bytesOf(80), (bytes) => {
      deepEqual(decodeNix32(encodeNix32(bytes)), bytes)
    }),
    { seed },
  )
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...alphabet.split('')), maxLength: 60 }),
      (text) => {
        const bytes = decodeNix32(text)
        return bytes === null || encodeNix32(bytes) === text
      },
    ),
    { seed, numRuns: 1000 },
  )
})

t.test(
  'nix32 with overflow bits, other characters or an impossible length is refused',
  async (t) => {
    const sha256 = '0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73'
    t.equal(decodeNix32(`2${sha256.slice(1)}`), null, 'overflow bits')
    t.equal(decodeNix32(sha256.toUpperCase()), null, 'upper case')
    for (const character of ['e', 'o', 't', 'u', ' ', '-', '\u0430']) {
      t.equal(decodeNix32(character + sha256.slice(1)), null, character)
    }
    for (const impossible of ['0', '000', '000000']) t.equal(decodeNix32(impossible), null)
  },
)

t.test('base64 is read only as it is written', async (t) => {
  fc.assert(
    fc.property(bytesOf(80), (bytes) => {
      deepEqual(decodeBase64(encodeBase64(bytes)), bytes)
    }),
    { seed },
  )
  for (const text of ['YQ', 'YQ=', 'YR==', 'YQ==\n', ' YQ==', 'Y-_=', 'YQ==YQ==', 'Y!Q=', 'a']) {
    t.equal(decodeBase64(text), null, JSON.stringify(text))
  }
})

t.test('a hash is read in base16, nix32, base64 and SRI form alike', async (t) => {
  for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512'] as const) {
    const bytes = digestOf(algorithm, 'weir')
    const hex = Buffer.from(bytes).toString('hex')
    const texts = [
      `${algorithm}:${hex}`,
      `${algorithm}:${hex.toUpperCase()}`,
      `${algorithm}:${encodeNix32(bytes)}`,
      `${algorithm}:${encodeBase64(bytes)}`,
      `${algorithm}-${encodeBase64(bytes)}`,
    ]
    for (const text of texts) t.same(parseHash(text), { algorithm, bytes }, text)
    t.equal(formatHash({ algorithm, bytes }), `${algorithm}:${encodeNix32(bytes)}`)
    t.equal(formatDigestHex({ algorithm, bytes }), hex)
    t.equal(bytes.length, digestLength[algorithm])
  }
})

t.test('what is no hash is refused', async (t) => {
  const hex = 'a'.repeat(64)
  const base64 = encodeBase64(digestOf('sha256', ''))
  const texts = [
    '',
    'sha256',
    'sha256:',
    hex,
    `SHA256:${hex}`,
    `blake3:${hex}`,
    `constructor:${hex}`,
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `sha256:g${hex.slice(1)}`,
    `sha256: ${hex.slice(1)}`,
    `sha512:${hex}`,
    `sha256-${hex}`,
    `sha256-${encodeNix32(digestOf('sha256', ''))}`,
    `sha256-${base64}=`,
    `sha256-${base64.slice(0, -1)}`,
    `sha256-${base64}?x`,
    `sha256:${base64.replace('=', '\n')}`,
    `sha256:${'a'.repeat(1_000_000)}`,
  ]
  for (const text of texts) t.equal(parseHash(text), null, text.slice(0, 80))
})

t.test('every change of one character of a hash gives another hash or none', async (t) => {
  const original = must(parseHash('sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s'))
  const text = formatHash(original)
  for (let i = 0; i < text.length; i++) {
    for (const character of ['0', '1', 'z', 'e', ':', '-', ' ', '\0']) {
      if (text[i] === character) continue
      const mutated = parseHash(text.slice(0, i) + character + text.slice(i + 1))
      if (mutated !== null && hashEquals(mutated, original)) t.fail(`${character} at ${i}`)
    }
  }
})

t.test('hashes are equal only by algorithm and bytes together', async (t) => {
  const a = must(parseHash(`sha1:${'00'.repeat(20)}`))
  t.ok(hashEquals(a, must(parseHash(formatHash(a)))))
  t.notOk(hashEquals(a, must(parseHash(`sha1:${'00'.repeat(19)}01`))))
  t.notOk(hashEquals(a, { algorithm: 'md5', bytes: a.bytes }))
})
