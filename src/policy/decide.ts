import { type AnswerSlot, isOutage, trustedAnswers } from './answer.ts'
import { candidates, phasesOf } from './ask-order.ts'
import { type Choice, choose as chooseAmong, type Chosen } from './choose.ts'
import { areEqual } from './equal-claims.ts'
import { heldBack, laterInGroups } from './held-back.ts'
import { type ExpectedName, type Lie, settleNames } from './names.ts'
import { type Policy, rankOf } from './policy.ts'

/** What is to be done about a hash, given the answers so far. */
export type Decision = {
  readonly choice: Choice
  /** Upstreams that must be asked now; the choice waits for them. */
  readonly ask: readonly string[]
  /** The answers, with what other claims made of each. */
  readonly slots: readonly AnswerSlot[]
  /** Upstreams that signed a name which a better one contradicts; certain once nothing is awaited. */
  readonly lies: readonly Lie[]
  /** Whether trusted claims differ; certain once nothing is awaited. */
  readonly isDivergent: boolean
  /** Whether nobody whose word would come first could not tell: the choice may be kept. */
  readonly isCertain: boolean
}

/** Slots for a hash that nobody was asked about yet. */
export function unasked(policy: Policy): readonly AnswerSlot[] {
  return candidates(policy).map(({ name, optional }) => ({
    upstream: name,
    optional,
    isAsked: false,
    yields: false,
    isBesides: false,
    answer: null,
  }))
}

/**
 * Decides about a hash: whom to ask, and what to answer. Phase by phase (tiers, private upstreams), until one has a trusted claim; of an
 * `equivalent` group one after the other. Where a rule wants agreement, all whom it names are asked at once. `expected` is what better
 * upstreams' references say of the name.
 */
export function decide(
  policy: Policy,
  slots: readonly AnswerSlot[],
  expected: ExpectedName | null,
): Decision {
  // Report only goes by the plain order, in which names are not compared.
  const named = policy.enforce ? settleNames(policy, slots, expected) : { slots, lies: [] }
  const isDivergent = !areEqual(trustedAnswers(named.slots))
  const decision = (chosen: Chosen, ask: readonly string[] = []): Decision => ({
    ...chosen,
    ask,
    lies: named.lies,
    isDivergent,
    isCertain: isCertain(policy, chosen),
  })
  const waitFor = (ask: readonly string[]): Decision =>
    decision({ choice: { kind: 'wait' }, slots: named.slots }, ask)
  const phases = phasesOf(policy).map(({ upstreams, isPrivate }) => {
    const phase = named.slots.filter(({ upstream }) => upstreams.includes(upstream))
    return { phase, isPrivate, ask: toAsk(policy, phase) }
  })
  const due = successors(policy, phases)
  if (due.length > 0) return waitFor(due)
  const choose = (): Chosen => chooseWithoutBesides(policy, named.slots)
  let chosen = choose()
  for (const { phase, isPrivate, ask } of phases) {
    if (ask.length > 0) return waitFor(ask)
    const demanded = demandedByAgreement(policy, named.slots)
    if (demanded.length > 0) return waitFor(demanded)
    chosen = choose()
    if (chosen.choice.kind === 'trusted' || chosen.choice.kind === 'wait') return decision(chosen)
    // A name that a private upstream holds, or may hold, must not reach the others.
    if (isPrivate && phase.some(mayHoldName)) return decision(chosen)
  }
  return decision(chosen)
}

/** The choice as it is without those who were asked after it and did not answer yet. */
function chooseWithoutBesides(policy: Policy, slots: readonly AnswerSlot[]): Chosen {
  const isLeftOut = ({ isBesides, answer }: AnswerSlot): boolean => isBesides && answer === null
  if (!slots.some(isLeftOut)) return chooseAmong(policy, slots)
  const asked = (isAsked: boolean, slot: AnswerSlot): AnswerSlot =>
    isLeftOut(slot) ? { ...slot, isAsked } : slot
  const chosen = chooseAmong(
    policy,
    slots.map((slot) => asked(false, slot)),
  )
  return { ...chosen, slots: chosen.slots.map((slot) => asked(true, slot)) }
}

/** Upstreams of one phase, and who of them is to be asked and was not yet. */
type AskedPhase = {
  readonly phase: readonly AnswerSlot[]
  readonly isPrivate: boolean
  readonly ask: readonly string[]
}

/** Who was held back in a phase that was asked, and is not any more: they are asked before anything is made of what others say. */
function successors(policy: Policy, phases: readonly AskedPhase[]): readonly string[] {
  const due: string[] = []
  for (const { phase, isPrivate, ask } of phases) {
    // An agreement may have asked some of a phase whose turn has not come.
    if (ask.length > 0 && !hasBegun(policy, phase)) break
    due.push(...ask)
    if (isPrivate && phase.some((slot) => slot.answer === null || mayHoldName(slot))) break
  }
  return due
}

/** Whether all of a phase were asked but for those who have somebody before them in their group. */
function hasBegun(policy: Policy, phase: readonly AnswerSlot[]): boolean {
  const later = laterInGroups(policy, phase)
  return phase.every(({ upstream, isAsked }) => isAsked || later.has(upstream))
}

/** Who of a phase is to be asked, and was not yet. */
function toAsk(policy: Policy, phase: readonly AnswerSlot[]): readonly string[] {
  const held = heldBack(policy, phase)
  return phase
    .filter(({ upstream, isAsked }) => !isAsked && !held.has(upstream))
    .map(({ upstream }) => upstream)
}

/** Upstreams whose word an agreement needs, tiers or not, and that were not asked yet. */
function demandedByAgreement(policy: Policy, slots: readonly AnswerSlot[]): readonly string[] {
  const wanted = trustedAnswers(slots).flatMap(({ verdict: { rule, isNameProven } }) => {
    if (rule === null || rule.agree === 1 || isNameProven) return []
    return rule.from ?? policy.upstreams.map(({ name }) => name)
  })
  return slots
    .filter(({ upstream, isAsked }) => !isAsked && wanted.includes(upstream))
    .map(({ upstream }) => upstream)
}

/**
 * Whether a private upstream has the path, or could not tell: also where its claim is trusted and comes to nothing, since others' words are
 * missing. One that has what it may not speak for holds nothing of its own.
 */
function mayHoldName(slot: AnswerSlot): boolean {
  const { answer } = slot
  if (answer?.kind === 'trusted') return true
  if (answer?.kind !== 'refused') return isOutage(slot)
  const { reason, rule } = answer.verdict
  return reason !== 'upstream-not-allowed' || rule === null
}

function isCertain(policy: Policy, { choice, slots }: Chosen): boolean {
  if (choice.kind !== 'trusted') return false
  const { claim, verdict } = choice.answer
  const order = verdict.rule?.from ?? policy.upstreams.map(({ name }) => name)
  // Where no difference is stood, everybody's word counts.
  const needed =
    verdict.rule?.onDivergence === 'refuse' ? order : order.slice(0, order.indexOf(claim.upstream))
  const rank = rankOf(policy, claim.upstream)
  const isNeeded = (upstream: string): boolean =>
    needed.includes(upstream) || rankOf(policy, upstream) < rank
  return !slots.some(({ upstream, answer }) => answer?.kind === 'unknown' && isNeeded(upstream))
}
