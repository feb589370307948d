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
import { type Policy, rankOf } from './policy.ts'

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
  const isAnyAwaited = slots.some(isAwaited)
  if (answers.length === 0) return isAnyAwaited ? waiting(slots) : without(slots)
  const order = rule?.from ?? policy.upstreams.map(({ name }) => name)
  if (rule?.onDivergence === 'refuse') {
    if (isAnyAwaited) return waiting(slots)
    if (!areEqual(answers)) return without(refuseWhere(slots, 'divergence', () => true))
  }
  return rule !== null && rule.agree > 1
    ? withAgreement(policy, order, slots, rule.agree)
    : mostPreferred(policy, order, slots)
}

function withAgreement(
  policy: Policy,
  order: readonly string[],
  slots: readonly AnswerSlot[],
  agree: number,
): Chosen {
  const awaited = inOrder(order, slots).filter(isAwaited).length
  const agreement = agreementOf(trustedAnswers(slots), agree, awaited)
  // Who is outside of the agreement may still say another name, for which another rule decides.
  if (agreement.kind !== 'reached' && slots.some(isAwaited)) return waiting(slots)
  switch (agreement.kind) {
    case 'open':
      return waiting(slots)
    case 'too-few':
      return without(refuseWhere(slots, 'no-agreement', () => true))
    case 'split':
      return without(refuseWhere(slots, 'divergence', () => true))
    case 'reached': {
      const { members } = agreement
      const alone = refuseWhere(slots, 'no-agreement', (other) => !members.includes(other))
      return mostPreferred(policy, order, alone)
    }
  }
}

/** The first trusted answer in the order, unless a better one may still come. */
function mostPreferred(
  policy: Policy,
  order: readonly string[],
  slots: readonly AnswerSlot[],
): Chosen {
  const [first] = trustedAnswers(inOrder(order, slots))
  return first === undefined || isOpen(policy, order, slots, first)
    ? waiting(slots)
    : { choice: { kind: 'trusted', answer: first }, slots }
}

/**
 * Whether somebody is awaited who comes before the answer: in the rule's order, which prefers claims, or in the upstreams', by which a
 * name gives way to another one. Upstreams of its own `equivalent` group need not be waited for.
 */
function isOpen(
  policy: Policy,
  order: readonly string[],
  slots: readonly AnswerSlot[],
  { claim }: TrustedAnswer,
): boolean {
  const groupOf = (upstream: string): string | null =>
    policy.upstreams.find(({ name }) => name === upstream)?.equivalent ?? null
  const before = order.slice(0, order.indexOf(claim.upstream))
  const group = groupOf(claim.upstream)
  return slots.filter(isAwaited).some(({ upstream }) => {
    if (group !== null && groupOf(upstream) === group) return false
    return before.includes(upstream) || rankOf(policy, upstream) < rankOf(policy, claim.upstream)
  })
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
