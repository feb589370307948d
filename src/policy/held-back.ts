import type { AnswerSlot } from './answer.ts'
import { phasesOf } from './ask-order.ts'
import type { Policy } from './policy.ts'
import { wantsAgreement } from './rule.ts'

/**
 * The upstreams of a phase, in order of preference, that are not asked yet: somebody before them in their `equivalent` group says what they
 * would say, or may still. One that is slow holds nobody back, nor one whose claim does not stand by itself: that was refused, or where
 * others' words count.
 */
export function heldBack(policy: Policy, phase: readonly AnswerSlot[]): ReadonlySet<string> {
  const held = new Set<string>()
  const taken = new Set<string>()
  for (const slot of phase) {
    const group = groupOf(policy, slot.upstream)
    if (group === null) continue
    if (!slot.isAsked && taken.has(group)) held.add(slot.upstream)
    if (speaksForGroup(slot)) taken.add(group)
  }
  return held
}

/** The upstreams of a phase, in order of preference, that have somebody before them in their `equivalent` group. */
export function laterInGroups(policy: Policy, phase: readonly AnswerSlot[]): ReadonlySet<string> {
  return heldBack(
    policy,
    phase.map((slot) => ({ ...slot, isAsked: false, yields: false, answer: null })),
  )
}

/** Whether somebody of an upstream's `equivalent` group and phase was not asked, who may be once it turns out to be slow. */
export function holdsBack(
  policy: Policy,
  slots: readonly Pick<AnswerSlot, 'upstream' | 'isAsked'>[],
  upstream: string,
): boolean {
  const group = groupOf(policy, upstream)
  if (group === null) return false
  const phase = phasesOf(policy).find(({ upstreams }) => upstreams.includes(upstream))
  return slots.some(
    (other) =>
      !other.isAsked &&
      groupOf(policy, other.upstream) === group &&
      phase?.upstreams.includes(other.upstream) === true,
  )
}

/** The `equivalent` group of an upstream; `null` where it has none. */
export function groupOf({ upstreams }: Policy, upstream: string): string | null {
  return upstreams.find(({ name }) => name === upstream)?.equivalent ?? null
}

function speaksForGroup({ yields, answer }: AnswerSlot): boolean {
  if (yields) return false
  if (answer === null) return true
  if (answer.kind !== 'trusted') return false
  const { rule, voucher } = answer.verdict
  // A content address alone gives way to a signature that somebody else may have.
  return voucher.kind === 'signature' && (rule === null || !wantsAgreement(rule))
}
