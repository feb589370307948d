import { agreementOf } from './agreement.ts'
import {
  type AnswerSlot,
  isAwaited,
  isOutage,
  refuseWhere,
  type TrustedAnswer,
  trustedAnswers,
} from './answer.ts'
import { areEqual } from './equal-claims.ts'
import type { Policy } from './policy.ts'

/** The choice among the answers so far. */
export type Choice =
  | { readonly kind: 'wait' }
  | { readonly kind: 'trusted'; readonly answer: TrustedAnswer }
  /** Certainly not there, or refused for good. */
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown' }

/** A choice, and the answers with what it made of them: claims that lack agreement are refused. */
export type Chosen = { readonly choice: Choice; readonly slots: readonly AnswerSlot[] }

/**
 * Chooses among the answers of the upstreams that were asked, whose trusted claims have one name: the most preferred wins, and nobody
 * wins by being first. Absent is said only where every upstream said so or was refused.
 */
export function choose(policy: Policy, slots: readonly AnswerSlot[]): Chosen {
  const answers = trustedAnswers(slots)
  const rule = answers[0]?.verdict.rule ?? null
  const awaited = slots.filter(isAwaited)
  if (answers.length === 0) return awaited.length > 0 ? waiting(slots) : without(slots)
  const ordered = inOrder(rule?.from ?? policy.upstreams.map(({ name }) => name), slots)
  if (rule?.onDivergence === 'refuse') {
    if (awaited.length > 0) return waiting(slots)
    if (!areEqual(answers)) return without(refuseWhere(slots, 'divergence', () => true))
  }
  if (rule !== null && rule.agree > 1) {
    return withAgreement(slots, ordered, rule.agree)
  }
  const chosen = mostPreferred(policy, ordered)
  return chosen === null ? waiting(slots) : { choice: { kind: 'trusted', answer: chosen }, slots }
}

function withAgreement(
  slots: readonly AnswerSlot[],
  ordered: readonly AnswerSlot[],
  agree: number,
): Chosen {
  const awaited = ordered.filter(isAwaited).length
  const agreement = agreementOf(trustedAnswers(slots), agree, awaited)
  switch (agreement.kind) {
    case 'open':
      return waiting(slots)
    case 'too-few':
      return without(refuseWhere(slots, 'no-agreement', () => true))
    case 'split':
      return without(refuseWhere(slots, 'divergence', () => true))
    case 'reached': {
      const isMember = (answer: TrustedAnswer): boolean => agreement.members.includes(answer)
      const [answer] = trustedAnswers(ordered).filter(isMember)
      const alone = refuseWhere(slots, 'no-agreement', (other) => !isMember(other))
      return answer === undefined
        ? without(alone)
        : { choice: { kind: 'trusted', answer }, slots: alone }
    }
  }
}

/**
 * The first trusted answer in order of preference; `null` while a more preferred one may still come. Upstreams of its own
 * `equivalent` group need not be waited for.
 */
function mostPreferred(policy: Policy, ordered: readonly AnswerSlot[]): TrustedAnswer | null {
  const groupOf = (upstream: string): string | null =>
    policy.upstreams.find(({ name }) => name === upstream)?.equivalent ?? null
  const [first] = trustedAnswers(ordered)
  if (first === undefined) return null
  const group = groupOf(first.claim.upstream)
  const before = ordered.slice(
    0,
    ordered.findIndex(({ answer }) => answer === first),
  )
  const mustWait = before.some(
    (slot) => isAwaited(slot) && (group === null || groupOf(slot.upstream) !== group),
  )
  return mustWait ? null : first
}

function inOrder(order: readonly string[], slots: readonly AnswerSlot[]): readonly AnswerSlot[] {
  return order.flatMap((name) => slots.filter(({ upstream }) => upstream === name))
}

function waiting(slots: readonly AnswerSlot[]): Chosen {
  return { choice: { kind: 'wait' }, slots }
}

function without(slots: readonly AnswerSlot[]): Chosen {
  return { choice: { kind: slots.some(isOutage) ? 'unknown' : 'absent' }, slots }
}
