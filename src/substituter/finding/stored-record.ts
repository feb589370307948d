import { formatContentAddress } from '../../nix/content-address.ts'
import type { NarFileKey } from '../../nix/nar-key.ts'
import type { AnswerSlot, TrustedAnswer } from '../../policy/answer.ts'
import { areEqual } from '../../policy/equal-claims.ts'
import type { Policy } from '../../policy/policy.ts'
import type { StoredClaim, StoredNar, UnmeasuredNar } from '../../ports/catalog.ts'
import type { Inquiry } from './inquiry.ts'

type Asked = Pick<Inquiry, 'trusted' | 'views' | 'askedUnder'>

/** A file that was verified, and the content address that it was held against. */
export type VerifiedNar = Pick<StoredNar, 'fileBytes' | 'fileHash' | 'etag' | 'verifiedCa'>

/**
 * The record of a verified NAR under a trusted answer. The trusted claims of others that say the same are kept with it: a rule may want
 * several, today or after a change. None is kept that promises a content address which the file was not held against.
 */
export function storedRecord(
  key: NarFileKey,
  answer: TrustedAnswer,
  inquiry: Asked,
  { fileBytes, fileHash, etag, verifiedCa }: VerifiedNar,
  { policy, nowMs }: { readonly policy: Policy; readonly nowMs: number },
): UnmeasuredNar {
  const witnesses = inquiry
    .trusted()
    .filter((other) => other.claim !== answer.claim && areEqual([answer, other]))
    .filter((other) => wasHeldAgainst(other, verifiedCa))
  return {
    ...storedClaim(answer),
    key,
    witnesses: witnesses.map(storedClaim),
    certainIn: isCertain(inquiry, answer, policy) ? policy.choiceEpoch : null,
    ...{ fileBytes, fileHash, etag, verifiedCa },
    ...{ storedAtMs: nowMs, usedAtMs: nowMs },
  }
}

/**
 * Whether nobody can have said anything better: all were asked whom this policy wants asked, in report only it would be the same, and
 * nothing better was only recalled, for a recall can be lifted.
 */
function isCertain(
  { views: { serving, enforced }, askedUnder }: Asked,
  answer: TrustedAnswer,
  policy: Policy,
): boolean {
  if (!serving.isCertain || !enforced.isCertain) return false
  if (askedUnder.choiceEpoch !== policy.choiceEpoch) return false
  const isSame = enforced.choice.kind === 'trusted' && areEqual([enforced.choice.answer, answer])
  return isSame && !enforced.slots.some(isBlocked)
}

function isBlocked({ answer }: AnswerSlot): boolean {
  return answer?.kind === 'refused' && answer.verdict.reason === 'blocked'
}

/** The content address that an answer promises, as in a narinfo's CA. */
export function promisedCa({ verdict }: TrustedAnswer): string | null {
  const { ca } = verdict.narinfo
  return ca === null ? null : formatContentAddress(ca)
}

/** Whether a file that was held against `verifiedCa` keeps all that an answer promises of its content. */
export function wasHeldAgainst(answer: TrustedAnswer, verifiedCa: string | null): boolean {
  const promised = promisedCa(answer)
  return promised === null || promised === verifiedCa
}

function storedClaim({ claim }: TrustedAnswer): StoredClaim {
  return { upstream: claim.upstream, claim: claim.text }
}
