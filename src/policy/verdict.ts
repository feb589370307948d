import { type ContentAddress, contentAddressMatches } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import { supportsContentHash } from '../nix/nar-content-hash.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import type { PublicKey } from '../nix/signature.ts'
import { type Block, blockOf } from './block.ts'
import type { Claim } from './claim.ts'
import type { Policy } from './policy.ts'
import { type Rule, ruleFor } from './rule.ts'
import { type JudgedSignature, judgeSignatures, type SignatureEvidence } from './signatures.ts'

export type { SignatureEvidence } from './signatures.ts'

/** Why a claim is refused; the names are trust.md's, where it has them. */
export type RefusalReason =
  | 'blocked'
  | 'upstream-suspended'
  | 'upstream-not-allowed'
  | 'bad-content-address'
  | 'weak-content-address'
  | 'no-trusted-signature'
  | 'unknown-key'
  /** What other claims make of it: too few say the same … */
  | 'no-agreement'
  /** … or trusted ones say something else, where the rule does not stand that … */
  | 'divergence'
  /** … or its name contradicts a better one for the same hash … */
  | 'name-conflict'
  /** … or a better upstream's references expect another name. */
  | 'unexpected-name'

/**
 * Who answers for a trusted claim. A content address alone proves bytes, not yet seen; a signature names a key;
 * `insecure` is nobody: the upstream is configured to be believed.
 */
export type Voucher =
  | { readonly kind: 'signature'; readonly keyName: string }
  | { readonly kind: 'content-address' }
  | { readonly kind: 'insecure' }

type Judged = {
  /** The rule that decided; `null` where none matches the name. */
  readonly rule: Rule | null
  readonly evidence: readonly SignatureEvidence[]
  /** The name follows from a strong content address: nobody can say another one truthfully. */
  readonly isNameProven: boolean
  /** A key of the claim's own upstream signed it: the upstream stands for the name, whether or not it may. */
  readonly isSignedByUpstream: boolean
}

export type TrustedVerdict = Judged & {
  readonly kind: 'trusted'
  /** The claim's known fields, with only the signatures that verified, and only a CA that recomputes. */
  readonly narinfo: Narinfo
  readonly voucher: Voucher
  /** The keys whose valid signatures vouch; none where a content address does it alone. */
  readonly keys: readonly PublicKey[]
}

export type RefusedVerdict = Judged & {
  readonly kind: 'refused'
  readonly reason: RefusalReason
  /** The recall, where the reason is `blocked`. */
  readonly block: Block | null
}

/** What Weir decides of a claim. */
export type Verdict = TrustedVerdict | RefusedVerdict

/**
 * The verdict on a claim by itself: steps 2 to 5 of trust.md ("The verdict on a claim"), in that order. The first step is
 * `readClaim`; the sixth, and what names say of each other, are `decide`'s, which sees all claims.
 */
export function judge(policy: Policy, claim: Claim): Verdict {
  const { narinfo } = claim
  const rule = ruleFor(policy.rules, narinfo.storePath.name)
  const signatures = judgeSignatures(policy, rule, claim)
  const address = judgeContentAddress(policy, narinfo)
  const judged: Judged = {
    rule,
    evidence: signatures.map(({ evidence }) => evidence),
    isNameProven: address === 'proves-itself',
    isSignedByUpstream: signatures.some(({ isUpstreams }) => isUpstreams),
  }
  const block = blockOf(policy.blocks, narinfo)
  if (block !== null) return { ...judged, kind: 'refused', reason: 'blocked', block }
  const barred = barredUpstream(policy, rule, claim.upstream)
  if (barred !== null) return { ...judged, kind: 'refused', reason: barred, block: null }
  const vouching = signatures.flatMap(({ vouchingKey }) => vouchingKey ?? [])
  const voucher = voucherOf(policy, rule, claim, address, vouching)
  if (voucher === null) {
    const reason = refusalReason(address, judged.evidence)
    return { ...judged, kind: 'refused', reason, block: null }
  }
  return {
    ...judged,
    kind: 'trusted',
    narinfo: cleaned(narinfo, address, signatures),
    voucher,
    keys: vouching,
  }
}

/** Whether an upstream may speak for paths of a name at all, whoever signs. */
export function maySpeakFor(policy: Policy, upstream: string, name: string): boolean {
  return barredUpstream(policy, ruleFor(policy.rules, name), upstream) === null
}

/** The third step: whether the claim's upstream may speak for the name at all. */
function barredUpstream(
  policy: Policy,
  rule: Rule | null,
  upstream: string,
): 'upstream-suspended' | 'upstream-not-allowed' | null {
  if (policy.suspended.has(upstream)) return 'upstream-suspended'
  // A stored claim of an upstream that was removed vouches for nothing.
  if (!policy.upstreams.some(({ name }) => name === upstream)) return 'upstream-not-allowed'
  const isAllowed =
    rule === null ? policy.unmatched === 'allow' : (rule.from?.includes(upstream) ?? true)
  return isAllowed ? null : 'upstream-not-allowed'
}

type AddressFinding = 'none' | 'proves-itself' | 'weak' | 'wrong'

/** The fourth step. */
function judgeContentAddress(policy: Policy, narinfo: Narinfo): AddressFinding {
  const { ca } = narinfo
  if (ca === null) return 'none'
  if (!contentAddressMatches(narinfo, policy.storeDir)) return 'wrong'
  // What Weir could not hold the NAR's content against must not vouch for it, nor be handed on.
  if (!supportsContentHash(ca)) return 'wrong'
  // Collisions of md5 and sha1 deliver other content under the same path.
  if (ca.hash.algorithm !== 'sha256' && ca.hash.algorithm !== 'sha512') return 'weak'
  return contradictsNarHash(ca, narinfo) ? 'wrong' : 'proves-itself'
}

/** A NAR without its own hash in it is hashed as it is: a NarHash that differs from its content address is nobody's. */
function contradictsNarHash(
  ca: ContentAddress,
  { narHash, storePath, references }: Narinfo,
): boolean {
  const isSelfless = !references.some(({ baseName }) => baseName === storePath.baseName)
  const isPlain = ca.method === 'recursive' && ca.hash.algorithm === 'sha256' && isSelfless
  return isPlain && formatHash(ca.hash) !== formatHash(narHash)
}

/** The fourth and fifth step together: who vouches, `null` for nobody. */
function voucherOf(
  policy: Policy,
  rule: Rule | null,
  claim: Claim,
  address: AddressFinding,
  [vouching]: readonly PublicKey[],
): Voucher | null {
  if (vouching !== undefined) return { kind: 'signature', keyName: vouching.name }
  if (rule !== null && rule.signedBy !== null) return null
  if (address === 'proves-itself') return { kind: 'content-address' }
  const upstream = policy.upstreams.find(({ name }) => name === claim.upstream)
  return upstream?.insecureUnsigned === true && address !== 'wrong' ? { kind: 'insecure' } : null
}

function refusalReason(
  address: AddressFinding,
  evidence: readonly SignatureEvidence[],
): RefusalReason {
  switch (address) {
    case 'wrong':
      return 'bad-content-address'
    case 'weak':
      return 'weak-content-address'
    case 'none':
    case 'proves-itself': {
      const isUnknown =
        evidence.length > 0 && evidence.every(({ result }) => result === 'unknown-key')
      return isUnknown ? 'unknown-key' : 'no-trusted-signature'
    }
  }
}

function cleaned(
  narinfo: Narinfo,
  address: AddressFinding,
  signatures: readonly JudgedSignature[],
): Narinfo {
  return {
    ...narinfo,
    ca: address === 'proves-itself' || address === 'weak' ? narinfo.ca : null,
    signatures: signatures
      .filter(({ evidence: { result } }) => result === 'vouches' || result === 'valid')
      .map(({ signature }) => signature),
    malformedSignatures: [],
    unknownFields: [],
  }
}
