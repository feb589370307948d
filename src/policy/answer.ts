import type { Claim } from './claim.ts'
import type { RefusalReason, RefusedVerdict, TrustedVerdict } from './verdict.ts'

/** What one upstream said of a hash, judged. */
export type Answer =
  | { readonly kind: 'trusted'; readonly claim: Claim; readonly verdict: TrustedVerdict }
  | { readonly kind: 'refused'; readonly claim: Claim; readonly verdict: RefusedVerdict }
  | { readonly kind: 'absent' }
  /** It could not tell: an outage, or an answer that is no claim. `reason` is for people. */
  | { readonly kind: 'unknown'; readonly code: string; readonly reason: string }

export type TrustedAnswer = Extract<Answer, { kind: 'trusted' }>

/** What is known of one upstream's answer so far. */
export type AnswerSlot = {
  readonly upstream: string
  readonly optional: boolean
  readonly isAsked: boolean
  /** Whether the others of its `equivalent` group are asked besides it: it is slow, or everybody is wanted. */
  readonly yields: boolean
  /** Whether it was asked after there was a choice, which stands until it says something else: it is not waited for. */
  readonly isBesides: boolean
  /** `null` while it is awaited, or where it was not asked. */
  readonly answer: Answer | null
}

/** The trusted answers among these, in the same order. */
export function trustedAnswers(slots: readonly AnswerSlot[]): readonly TrustedAnswer[] {
  return slots.flatMap(({ answer }) => (answer?.kind === 'trusted' ? [answer] : []))
}

/** Whether an answer is still to come. */
export function isAwaited({ isAsked, answer }: AnswerSlot): boolean {
  return isAsked && answer === null
}

/** The code of the answer that offline mode puts in place of an upstream's. */
export const offlineCode = 'offline'

/** Whether nobody was asked, since the configuration says so. */
export function isOffline({ answer }: AnswerSlot): boolean {
  return answer?.kind === 'unknown' && answer.code === offlineCode
}

/** Whether an upstream could not tell whose word is needed: an optional one's is not, unless it was Weir that failed to ask. */
export function isOutage({ optional, answer }: AnswerSlot): boolean {
  return answer?.kind === 'unknown' && (!optional || answer.code === 'overloaded')
}

/** Whether it is open what an upstream has whose word is needed. Offline it is not: then there is what is stored, and nothing else. */
export function isOpen(slot: AnswerSlot): boolean {
  return isOutage(slot) && !isOffline(slot)
}

/** The same claim, refused for what other claims say. */
export function refuse({ claim, verdict }: TrustedAnswer, reason: RefusalReason): Answer {
  const { rule, evidence, isNameProven, isSignedByUpstream } = verdict
  return {
    kind: 'refused',
    claim,
    verdict: {
      kind: 'refused',
      reason,
      block: null,
      ...{ rule, evidence, isNameProven, isSignedByUpstream },
    },
  }
}

/** The slots with the trusted answers that `isRefused` names refused for a reason. */
export function refuseWhere(
  slots: readonly AnswerSlot[],
  reason: RefusalReason,
  isRefused: (answer: TrustedAnswer) => boolean,
): readonly AnswerSlot[] {
  return slots.map((slot) =>
    slot.answer?.kind === 'trusted' && isRefused(slot.answer)
      ? { ...slot, answer: refuse(slot.answer, reason) }
      : slot,
  )
}
