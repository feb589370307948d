/** What holds of every decision, whatever the policy is and upstreams say, in whatever order they say it. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { decide } from '../../src/policy/decide.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { judge } from '../../src/policy/verdict.ts'
import { brief, fates, slotsOf } from './answers.ts'
import {
  answersOf,
  anyPolicy,
  anySayings,
  contentAddressed,
  course,
  inputAddressed,
  orders,
  type Saying,
} from './courses.ts'

const seed = 20260731

/** What all orders of arrival come to; throws where they differ. */
function onlyOutcome(policy: Policy, sayings: ReadonlyMap<string, Saying>): string {
  const answers = answersOf(policy, sayings)
  const outcomes = orders.map((order) => {
    const { early, decision } = course(policy, answers, order)
    equal(brief(decision.choice), early, `late answers changed it: ${order.join(' ')}`)
    return early
  })
  const [first] = outcomes
  deepEqual(new Set(outcomes), new Set([first]))
  return first ?? 'none'
}

t.test('the order of arrival never changes the choice, nor do late answers', async (t) => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(anyPolicy, anySayings(inputAddressed), (policy, sayings) => {
      seen.add(onlyOutcome(policy, sayings))
    }),
    { seed, numRuns: 400 },
  )
  for (const outcome of ['trusted a', 'trusted b', 'trusted d', 'absent', 'unknown']) {
    t.ok(seen.has(outcome), outcome)
  }
  t.notOk(seen.has('wait'), 'nothing is waited for that will not come')
})

t.test('nor does it where content addresses prove themselves', async () => {
  fc.assert(
    fc.property(anyPolicy, anySayings(contentAddressed), (policy, sayings) => {
      onlyOutcome(policy, sayings)
    }),
    { seed, numRuns: 200 },
  )
})

t.test('whatever is trusted, the verdict on the claim itself is that it is', async () => {
  let trusted = 0
  fc.assert(
    fc.property(
      anyPolicy,
      fc.constantFrom(inputAddressed, contentAddressed).chain(anySayings),
      fc.constantFrom(...orders),
      (policy, sayings, order) => {
        const { decision } = course(policy, answersOf(policy, sayings), order)
        for (const { answer } of decision.slots) {
          if (answer?.kind === 'trusted') equal(judge(policy, answer.claim).kind, 'trusted')
        }
        const { choice } = decision
        if (choice.kind !== 'trusted') return
        trusted++
        const { claim, verdict } = choice.answer
        const alone = judge(policy, claim)
        // Where a content address stands in for an agreement, what too few signed counts for nothing.
        const isByAddress = verdict.voucher.kind === 'content-address'
        const vouched = isByAddress ? { voucher: verdict.voucher, keys: verdict.keys } : {}
        deepEqual(verdict, { ...alone, ...vouched })
        ok(!policy.suspended.has(claim.upstream))
        const from = verdict.rule?.from
        ok(from === undefined || from === null || from.includes(claim.upstream))
        ok(verdict.keys.length > 0 || verdict.isNameProven || verdict.voucher.kind === 'insecure')
      },
    ),
    { seed, numRuns: 600 },
  )
  ok(trusted > 200, `${trusted} were trusted`)
})

t.test('what remains trusted has one name', async () => {
  fc.assert(
    fc.property(anyPolicy, anySayings(inputAddressed), (policy, sayings) => {
      const said = [...sayings].map(([name, saying]) => [name, saying.said(name)] as const)
      const decision = decide(policy, slotsOf(policy, Object.fromEntries(said)), null)
      const trusted = decision.slots.flatMap(({ answer }) =>
        answer?.kind === 'trusted' ? [answer.claim.narinfo.storePath.name] : [],
      )
      ok(new Set(trusted).size <= 1, JSON.stringify(fates(decision)))
    }),
    { seed, numRuns: 500 },
  )
})
