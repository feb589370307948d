import { contentAddressMatches } from '../nix/content-address.ts'
import { fingerprint } from '../nix/fingerprint.ts'
import { supportsContentHash } from '../nix/nar-content-hash.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import { type PublicKey, type Signature, verifySignature } from '../nix/signature.ts'
import type { Claim } from './claim.ts'
import type { Policy } from './policy.ts'

/** What one signature of a claim turned out to be. */
export type SignatureEvidence = {
  readonly keyName: string
  /** `vouches`: valid, by a key of the claim's upstream. `valid`: by a key that Weir holds for another upstream. */
  readonly result: 'vouches' | 'valid' | 'bad-signature' | 'unknown-key'
}

/** Why a claim is refused; the names are trust.md's. */
export type RefusalReason =
  | 'upstream-not-allowed'
  | 'bad-content-address'
  | 'weak-content-address'
  | 'no-trusted-signature'
  | 'unknown-key'

/** Who answers for a trusted claim. A content address alone proves bytes, not yet seen; a signature names a key. */
export type Voucher =
  { readonly kind: 'signature'; readonly keyName: string } | { readonly kind: 'content-address' }

export type TrustedVerdict = {
  readonly kind: 'trusted'
  /** The claim's known fields, with only the signatures that verified, and only a CA that recomputes. */
  readonly narinfo: Narinfo
  readonly voucher: Voucher
  readonly evidence: readonly SignatureEvidence[]
}

export type RefusedVerdict = {
  readonly kind: 'refused'
  readonly reason: RefusalReason
  readonly evidence: readonly SignatureEvidence[]
}

/** What Weir decides of a claim. */
export type Verdict = TrustedVerdict | RefusedVerdict

/**
 * The verdict on a claim, in the order of trust.md ("The verdict on a claim"): the content address first, then the
 * signatures. An upstream that the policy does not name may vouch for nothing: a stored claim of one that was removed.
 */
export function judge(policy: Policy, claim: Claim): Verdict {
  const { narinfo } = claim
  const judged = judgeSignatures(policy, claim)
  const evidence = judged.map(({ evidence }) => evidence)
  if (!policy.upstreams.some(({ name }) => name === claim.upstream)) {
    return { kind: 'refused', reason: 'upstream-not-allowed', evidence }
  }
  const vouching = evidence.find(({ result }) => result === 'vouches')
  const address = judgeContentAddress(policy, narinfo)
  if (vouching === undefined && address !== 'proves-itself') {
    return { kind: 'refused', reason: refusalReason(address, evidence), evidence }
  }
  return {
    kind: 'trusted',
    narinfo: {
      ...narinfo,
      ca: address === 'proves-itself' || address === 'weak' ? narinfo.ca : null,
      signatures: judged
        .filter(({ evidence: { result } }) => result === 'vouches' || result === 'valid')
        .map(({ signature }) => signature),
      malformedSignatures: [],
      unknownFields: [],
    },
    voucher:
      vouching === undefined
        ? { kind: 'content-address' }
        : { kind: 'signature', keyName: vouching.keyName },
    evidence,
  }
}

type AddressFinding = 'none' | 'proves-itself' | 'weak' | 'wrong'

function judgeContentAddress(policy: Policy, narinfo: Narinfo): AddressFinding {
  const { ca } = narinfo
  if (ca === null) return 'none'
  if (!contentAddressMatches(narinfo, policy.storeDir)) return 'wrong'
  // What Weir could not hold the NAR's content against must not vouch for it, nor be handed on.
  if (!supportsContentHash(ca)) return 'wrong'
  // Collisions of md5 and sha1 deliver other content under the same path.
  return ca.hash.algorithm === 'sha256' || ca.hash.algorithm === 'sha512' ? 'proves-itself' : 'weak'
}

function refusalReason(
  address: Exclude<AddressFinding, 'proves-itself'>,
  evidence: readonly SignatureEvidence[],
): RefusalReason {
  switch (address) {
    case 'wrong':
      return 'bad-content-address'
    case 'weak':
      return 'weak-content-address'
    case 'none': {
      const unknown =
        evidence.length > 0 && evidence.every(({ result }) => result === 'unknown-key')
      return unknown ? 'unknown-key' : 'no-trusted-signature'
    }
  }
}

function judgeSignatures(
  policy: Policy,
  claim: Claim,
): readonly { readonly signature: Signature; readonly evidence: SignatureEvidence }[] {
  const message = fingerprint(claim.narinfo, policy.storeDir)
  return claim.narinfo.signatures.map((signature) => {
    const { keyName } = signature
    const holders = policy.upstreams.filter(({ keys }) => keyNamed(keys, keyName) !== null)
    const key = holders[0] === undefined ? null : keyNamed(holders[0].keys, keyName)
    if (key === null) return { signature, evidence: { keyName, result: 'unknown-key' } }
    if (!verifySignature(key, message, signature)) {
      return { signature, evidence: { keyName, result: 'bad-signature' } }
    }
    const vouches = holders.some(({ name }) => name === claim.upstream)
    return { signature, evidence: { keyName, result: vouches ? 'vouches' : 'valid' } }
  })
}

/** One name means one key everywhere: two keys under one name are an error when the settings are loaded. */
function keyNamed(keys: readonly PublicKey[], name: string): PublicKey | null {
  return keys.find((key) => key.name === name) ?? null
}
