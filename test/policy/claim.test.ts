import { deepEqual } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import t from 'tap'
import { formatContentAddress } from '../../src/nix/content-address.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import { judge } from '../../src/policy/verdict.ts'
import { must, pathHash } from '../nix/fixtures.ts'
import { flat, hashOne, plain, readingOf, signed, textOf, withReferences } from './claims.ts'
import { maxNarBytes, nixosKey, policy } from './policies.ts'

const asked = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const good = textOf(signed(plain, nixosKey))
const malformed: readonly (readonly [string, string, RegExp])[] = [
  ['for another hash', textOf(signed(flat, nixosKey)), /^StorePath: is another path's/],
  [
    'of another store',
    good.replace('/nix/store/05', '/gnu/store/05'),
    /^StorePath: not a path in \/nix\/store$/,
  ],
  [
    'larger than the bound',
    good.replace('310288', String(maxNarBytes + 1)),
    /^NarSize: above the limit of 1000000 bytes$/,
  ],
  [
    'of a size that no number holds',
    good.replace('310288', String(2n ** 64n - 1n)),
    /^NarSize: above the limit/,
  ],
  ['that is empty', '', /^empty$/],
  ['that is a web page', '<html>\n<p>Log in: here</p>\n</html>\n', /colon/],
  ['without its end', good.slice(0, -1), /newline/],
  ['with a NarHash that is not sha256', good.replace(hashOne, `md5:${'0'.repeat(32)}`), /^NarHash/],
]
for (const [what, text, reason] of malformed) {
  t.test(`a narinfo ${what} is malformed, whoever signed it`, async (t) => {
    const reading = readingOf(text, 'nixos', asked)
    t.equal(reading.kind, 'malformed')
    t.match(reading.kind === 'malformed' && reading.reason, reason)
  })
}

t.test('a NarSize of the bound itself is a claim', async (t) => {
  t.equal(readingOf(good.replace('310288', String(maxNarBytes)), 'nixos', asked).kind, 'claim')
})

t.test('a claim keeps what the upstream sent, byte by byte', async (t) => {
  const sent = `${good}Unknown: field\nSig: malformed\n`
  const reading = readingOf(sent, 'nixos', asked)
  t.equal(reading.kind, 'claim')
  if (reading.kind === 'claim') {
    t.equal(reading.claim.upstream, 'nixos')
    t.equal(Buffer.from(reading.claim.text).toString(), sent)
  }
})

/** What a text still claims where it is trusted, `null` where it is not. */
function stillClaims(text: Uint8Array, upstream: string, hash: StorePathHash) {
  const reading = readingOf(text, upstream, hash)
  if (reading.kind === 'malformed') return null
  const verdict = judge(policy, reading.claim)
  if (verdict.kind === 'refused') return null
  const { narinfo } = verdict
  return {
    path: narinfo.storePath.baseName,
    references: [...new Set(narinfo.references.map(({ baseName }) => baseName))].sort(),
    narHash: Buffer.from(narinfo.narHash.bytes).toString('hex'),
    narSize: narinfo.narSize,
    ca: narinfo.ca && formatContentAddress(narinfo.ca),
  }
}

function* flips(text: string): Generator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    yield flipped
  }
}

t.test('no flipped bit of a signed narinfo changes what is trusted', async (t) => {
  const claims = must(stillClaims(Buffer.from(good), 'nixos', asked))
  let trusted = 0
  for (const text of flips(good)) {
    const now = stillClaims(text, 'nixos', asked)
    if (now === null) continue
    trusted++
    deepEqual(now, claims, Buffer.from(text).toString())
  }
  t.ok(trusted > 0, 'flips in fields that nobody signs are still trusted')
})

t.test('no flipped bit of a content-addressed narinfo makes it another path', async (t) => {
  const sent = textOf(withReferences)
  const hash = pathHash(withReferences.baseName.slice(0, 32))
  const { path, references, ca } = must(stillClaims(Buffer.from(sent), 'keyless', hash))
  for (const text of flips(sent)) {
    const now = stillClaims(text, 'keyless', hash)
    if (now === null) continue
    deepEqual([now.path, now.references, now.ca], [path, references, ca])
  }
  t.pass()
})
