import type { Claim } from './claim.ts'
import type { RefusedVerdict, TrustedVerdict } from './verdict.ts'

/** What one upstream said of a hash, judged. */
export type Answer =
  | { readonly kind: 'trusted'; readonly claim: Claim; readonly verdict: TrustedVerdict }
  | { readonly kind: 'refused'; readonly claim: Claim; readonly verdict: RefusedVerdict }
  | { readonly kind: 'absent' }
  /** It could not tell: an outage, or an answer that is no claim. `reason` is for people. */
  | { readonly kind: 'unknown'; readonly code: string; readonly reason: string }

export type TrustedAnswer = Extract<Answer, { kind: 'trusted' }>

/** What is known of one upstream's answer so far; `null` while it is awaited. */
export type AnswerSlot = {
  readonly upstream: string
  readonly optional: boolean
  readonly answer: Answer | null
}

/** The choice among the answers so far. */
export type Choice =
  | { readonly kind: 'wait' }
  | { readonly kind: 'trusted'; readonly answer: TrustedAnswer }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown' }

/**
 * Chooses among the upstreams' answers, given in order of preference: the most preferred trusted claim wins, and
 * nobody wins by being first. Absent is said only where every upstream said so or was refused.
 */
export function choose(slots: readonly AnswerSlot[]): Choice {
  for (const { answer } of slots) {
    if (answer === null) return { kind: 'wait' }
    if (answer.kind === 'trusted') return { kind: 'trusted', answer }
  }
  const outage = slots.some(({ optional, answer }) => answer?.kind === 'unknown' && !optional)
  return { kind: outage ? 'unknown' : 'absent' }
}
