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
import { groupOf } from './held-back.ts'
import { importUpstreamName, type Policy, rankOf } from './policy.ts'
import type { Rule } from './rule.ts'

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
    // Who could not tell may differ.
    if (inOrder(order, slots).some(isOutage)) return { choice: { kind: 'unknown' }, slots }
  }
  return rule !== null && rule.agree > 1
    ? withAgreement(policy, order, slots, rule)
    : mostPreferred(policy, order, slots)
}

function withAgreement(
  policy: Policy,
  order: readonly string[],
  slots: readonly AnswerSlot[],
  { agree, from }: Rule,
): Chosen {
  const isImportNamed = from?.includes(importUpstreamName) === true
  const awaited = inOrder(order, slots).filter(isAwaited).length
  // What lies in the store is no builder, unless a rule says so by its name.
  const isAsked = ({ claim }: TrustedAnswer): boolean =>
    claim.upstream !== importUpstreamName || isImportNamed
  const answers = trustedAnswers(slots).filter(isAsked)
  const agreement = agreementOf(policy, answers, agree, awaited)
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
      const { members, isByContentAddress } = agreement
      const alone = refuseWhere(slots, 'no-agreement', (other) => !members.includes(other))
      return mostPreferred(policy, order, isByContentAddress ? alone.map(onlyProven) : alone)
    }
  }
}

/** Where a content address stood in for an agreement it is all that vouches: signatures that were too few are none. */
function onlyProven(slot: AnswerSlot): AnswerSlot {
  const { answer } = slot
  if (answer?.kind !== 'trusted') return slot
  const verdict = { ...answer.verdict, voucher: { kind: 'content-address' as const }, keys: [] }
  return { ...slot, answer: { ...answer, verdict } }
}

/**
 * The first trusted answer in the order, unless a better one may still come. A content address does not prove the NarHash beside it:
 * where a signed claim has another one, that is believed, and everybody is waited for who might have one.
 */
function mostPreferred(
  policy: Policy,
  order: readonly string[],
  slots: readonly AnswerSlot[],
): Chosen {
  const answers = trustedAnswers(inOrder(order, slots))
  const [first] = answers
  if (first === undefined) return waiting(slots)
  const isUnproved = first.verdict.voucher.kind === 'content-address'
  const signed = answers.find(
    (other) => other.verdict.voucher.kind === 'signature' && !areEqual([first, other]),
  )
  const answer = isUnproved ? (signed ?? first) : first
  const mayBeOutdone = isUnproved && slots.some(isAwaited)
  return mayBeOutdone || isOpen(policy, order, slots, answer)
    ? waiting(slots)
    : { choice: { kind: 'trusted', answer }, slots }
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
  const before = order.slice(0, order.indexOf(claim.upstream))
  const group = groupOf(policy, claim.upstream)
  return slots.filter(isAwaited).some(({ upstream }) => {
    if (group !== null && groupOf(policy, upstream) === group) return false
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
