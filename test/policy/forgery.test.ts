import { deepEqual, ok } from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t from 'tap'
import { formatSignature } from '../../src/nix/signature.ts'
import type { RefusalReason } from '../../src/policy/verdict.ts'
import {
  broken,
  covered,
  type Fields,
  flat,
  git,
  hashOne,
  hashTwo,
  md5,
  plain,
  sha1,
  signature,
  text,
  verdictOn,
  withSelf,
} from './claims.ts'
import { acmeKey, impostorKey, maxNarBytes, nixosKey, sharedKey, strangerKey } from './policies.ts'

const seed = 20260731
const otherPath = 'svw61j7fc3kqj6w3d64fza76j7cnhwhm-dep'

/* Claims without a valid signature of their upstream's key and without a strong content address, however they come about. */
const baseNames = [plain.baseName, otherPath, flat.baseName, md5.baseName, withSelf.baseName]
const anyReferences = fc.uniqueArray(fc.constantFrom(...baseNames), { maxLength: 4 })
const anyFields = fc.record({
  baseName: fc.constantFrom(...baseNames),
  narHash: fc.constantFrom(hashOne, hashTwo),
  narSize: fc.bigInt(1n, BigInt(maxNarBytes)).map(String),
  references: anyReferences,
})
const anyForgery = fc.record({
  fields: anyFields,
  /* Signed by their own key, but for other fields. */
  signedFields: fc.array(
    fc.record({
      fields: anyFields,
      key: fc.constantFrom(nixosKey, sharedKey),
    }),
    { maxLength: 2 },
  ),
  /* Signed for these very fields, by keys that may not vouch here. */
  foreign: fc.array(fc.constantFrom(acmeKey, strangerKey, impostorKey), { maxLength: 3 }),
  /* Signed for these very fields by their own key, with a bit changed. */
  flippedBits: fc.array(fc.nat(511), { maxLength: 2 }),
  junk: fc.array(fc.constantFrom('nixos-1:', 'nixos-1:AAAA', ':', ''), { maxLength: 2 }),
  ca: fc.oneof(
    fc.constant(null),
    fc.constantFrom(md5.ca, sha1.ca, flat.ca, withSelf.ca, text.ca, git('sha256').ca),
    fc
      .tuple(
        fc.constantFrom('fixed:sha256:', 'fixed:r:sha256:', 'text:sha256:', 'fixed:git:sha256:'),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
      )
      .map(([prefix, bytes]) => prefix + Buffer.from(bytes).toString('hex')),
  ),
})
const strong: ReadonlySet<string> = new Set(
  [flat, withSelf].map(({ baseName, references, ca }) =>
    JSON.stringify([baseName, references, ca]),
  ),
)

t.test(
  'nothing is trusted without a valid signature of its own upstream or a strong content address',
  async () => {
    const reasons = new Set<RefusalReason>()
    fc.assert(
      fc.property(anyForgery, ({ fields, signedFields, foreign, flippedBits, junk, ca }) => {
        const claim: Fields = { ...plain, ...fields, ca }
        fc.pre(!strong.has(JSON.stringify([claim.baseName, claim.references, claim.ca])))
        const others = signedFields.filter(
          (other) => covered({ ...claim, ...other.fields }) !== covered(claim),
        )
        const sigs = [
          ...others.map(({ fields, key }) => signature(key, { ...claim, ...fields })),
          ...foreign.map((key) => signature(key, claim)),
          ...flippedBits.map((bit) => broken(signature(nixosKey, claim), bit)),
          ...junk,
        ]
        const verdict = verdictOn({ ...claim, sigs })
        if (verdict.kind === 'trusted') throw new TypeError('a forgery is trusted')
        reasons.add(verdict.reason)
        ok(verdict.evidence.every(({ result }) => result !== 'vouches'))
      }),
      { seed, numRuns: 400 },
    )
    deepEqual(
      [...reasons].sort(),
      ['bad-content-address', 'no-trusted-signature', 'unknown-key', 'weak-content-address'],
      'the forgeries are of every kind',
    )
  },
)

t.test('whatever junk is added, a valid signature of its own upstream is found', async () => {
  fc.assert(
    fc.property(anyForgery, fc.nat(8), ({ fields, foreign, flippedBits, junk, ca }, at) => {
      const claim: Fields = { ...plain, ...fields, ca }
      const others = [
        ...foreign.map((key) => signature(key, claim)),
        ...flippedBits.map((bit) => broken(signature(nixosKey, claim), bit)),
        ...junk,
      ]
      const sigs = others.toSpliced(at, 0, signature(nixosKey, claim))
      const verdict = verdictOn({ ...claim, sigs })
      if (verdict.kind === 'refused') throw new TypeError(verdict.reason)
      deepEqual(verdict.voucher, { kind: 'signature', keyName: 'nixos-1' })
      const allowed = new Set([signature(nixosKey, claim), signature(acmeKey, claim)])
      ok(verdict.narinfo.signatures.every((each) => allowed.has(formatSignature(each))))
    }),
    { seed, numRuns: 200 },
  )
})
