import type { AnswerSlot } from '../policy/answer.ts'
import { readClaim } from '../policy/claim.ts'
import type { Decision } from '../policy/decide.ts'
import { enforced, type Policy } from '../policy/policy.ts'
import { ruleFor } from '../policy/rule.ts'
import { decideViews, replied, type Reply, unaskedSlots } from '../policy/views.ts'
import { caseClaims, type CaseClaims } from './case-claims.ts'
import type { PolicyCase } from './case-schema.ts'
import type { SignablePolicy } from './fresh-keys.ts'

/** What the policy made of a case. */
export type CaseResult = {
  readonly verdict: PolicyCase['expect']['verdict']
  /** Whose claim is served; `null` where none is. */
  readonly upstream: string | null
  /** The rule that decided; `null` where none matches. */
  readonly rule: string | null
  /** What each upstream said, judged; those that were never asked have no answer. */
  readonly slots: readonly AnswerSlot[]
  /** In which respects it is not as expected; none where the case holds. */
  readonly mismatches: readonly (keyof PolicyCase['expect'])[]
}

/** Runs a case as Weir would: asks whom the policy wants asked, judges what they say, decides. Report-only rules are run as enforced. */
export function runCase(
  { policy: written, secretOf }: SignablePolicy,
  test: PolicyCase,
): CaseResult {
  const policy = enforced(written)
  const claims = caseClaims(test, policy.storeDir, secretOf)
  const decision = ask(policy, (upstream) => replyOf(policy, test, claims, upstream))
  const { choice, slots } = decision
  const answer = choice.kind === 'trusted' ? choice.answer : null
  const refused = slots.find(
    ({ upstream, answer: said }) =>
      said?.kind === 'refused' && (test.expect.upstream ?? upstream) === upstream,
  )?.answer
  const rule =
    answer !== null
      ? answer.verdict.rule
      : refused?.kind === 'refused'
        ? refused.verdict.rule
        : ruleFor(policy.rules, test.path)
  const found = {
    verdict: verdictOf(decision),
    upstream: answer?.claim.upstream ?? null,
    rule: rule?.name ?? null,
    slots,
  }
  return { ...found, mismatches: compare(test.expect, found) }
}

function ask(policy: Policy, reply: (upstream: string) => Reply): Decision {
  let slots = unaskedSlots(policy)
  for (;;) {
    const { enforced: decision } = decideViews(policy, slots, null)
    if (decision.ask.length === 0) return decision
    slots = slots.map((slot) =>
      decision.ask.includes(slot.upstream) ? replied(policy, slot, reply(slot.upstream)) : slot,
    )
  }
}

function replyOf(
  policy: Policy,
  { down }: PolicyCase,
  { hash, texts }: CaseClaims,
  upstream: string,
): Reply {
  if (down.includes(upstream)) return { kind: 'unknown', code: 'connect', reason: 'it is down' }
  const text = texts.get(upstream)
  if (text === undefined) return { kind: 'absent' }
  const reading = readClaim(policy, upstream, hash, text)
  return reading.kind === 'claim'
    ? reading
    : { kind: 'unknown', code: 'malformed', reason: reading.reason }
}

function verdictOf({ choice, slots }: Decision): CaseResult['verdict'] {
  switch (choice.kind) {
    case 'trusted':
    case 'unknown':
      return choice.kind
    case 'wait':
      return 'unknown'
    case 'absent':
      return slots.some(({ answer }) => answer?.kind === 'refused') ? 'refused' : 'absent'
  }
}

function compare(
  expect: PolicyCase['expect'],
  found: Omit<CaseResult, 'mismatches'>,
): CaseResult['mismatches'] {
  const isRule = expect.rule === undefined || expect.rule === (found.rule ?? '')
  const others = isRule ? [] : (['rule'] as const)
  if (expect.verdict !== found.verdict) return ['verdict', ...others]
  const said = found.slots.filter(
    ({ upstream, answer }) =>
      answer?.kind === expect.verdict && (expect.upstream ?? upstream) === upstream,
  )
  const isUpstream =
    expect.upstream === undefined ||
    (expect.verdict === 'trusted' ? found.upstream === expect.upstream : said.length > 0)
  const isReason =
    expect.reason === undefined ||
    said.some(({ answer }) => answer?.kind === 'refused' && answer.verdict.reason === expect.reason)
  return [
    ...(isUpstream ? [] : (['upstream'] as const)),
    ...(isReason ? [] : (['reason'] as const)),
    ...others,
  ]
}
