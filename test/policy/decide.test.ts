/** What holds of every decision, whatever the policy is and upstreams say, in whatever order they say it. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Answer } from '../../src/policy/answer.ts'
import { type Decision, decide, unasked } from '../../src/policy/decide.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { judge } from '../../src/policy/verdict.ts'
import { answerOf, brief, fates, permutations, type Said, slotsOf } from './answers.ts'
import { called, type Fields, flat, hashTwo, signed } from './claims.ts'
import { policy as base, rule, secretKey, upstream } from './policies.ts'

const seed = 20260731
const names = ['a', 'b', 'c', 'd'] as const
const keys = names.map((name, at) => secretKey(`${name}-1`, 40 + at))
const keysOf = (name: string) => keys.filter((key) => key.name.startsWith(name))

/* What may be said: of an input-addressed path under several names, or of a content-addressed one. */
const inputAddressed: readonly Fields[] = [
  called('nix-2.18'),
  { ...called('nix-2.18'), narHash: hashTwo },
  called('harmless'),
  called('acme-1'),
]
const contentAddressed: readonly Fields[] = [flat, { ...flat, narHash: hashTwo }]

type Saying = { readonly said: (name: string) => Exclude<Said, 'awaited' | 'unasked'> }

const sayingOf = (paths: readonly Fields[]): fc.Arbitrary<Saying> =>
  fc
    .oneof(
      { weight: 1, arbitrary: fc.constantFrom('absent' as const, 'down' as const) },
      {
        weight: 3,
        arbitrary: fc.record({
          fields: fc.constantFrom(...paths),
          by: fc.constantFrom('itself', 'itself', 'itself', 'nobody', ...names),
        }),
      },
    )
    .map((chosen) => ({
      said: (name) => {
        if (typeof chosen === 'string') return chosen
        const { fields, by } = chosen
        return signed(fields, ...keysOf(by === 'itself' ? name : by))
      },
    }))

const fromSome = fc.option(fc.shuffledSubarray([...names], { minLength: 1 }), { nil: null })
const anyRule = fc
  .record({
    paths: fc.constantFrom(['*'], ['nix-*'], ['harmless', 'acme-*'], ['hello.txt']),
    from: fromSome,
    signedBy: fc.option(fc.subarray(keys, { minLength: 1 }), { nil: null, freq: 3 }),
    agree: fc.constantFrom(1, 1, 2, 3),
    onDivergence: fc.constantFrom('serve' as const, 'serve' as const, 'refuse' as const),
  })
  .map(({ signedBy, ...fields }) =>
    rule({ ...fields, signedBy: signedBy?.map(publicKeyOf) ?? null }),
  )

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    upstreams: fc.tuple(
      ...names.map((name) =>
        fc
          .record({
            optional: fc.boolean(),
            tier: fc.constantFrom(0, 0, 0, 1),
            private: fc.constantFrom(false, false, false, true),
            insecureUnsigned: fc.constantFrom(false, false, false, true),
          })
          .map((changes) => upstream(name, keysOf(name), changes)),
      ),
    ),
    rules: fc.array(anyRule, { maxLength: 2 }),
    unmatched: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
    suspended: fc.subarray([...names], { maxLength: 1 }).map((some) => new Set(some)),
  })
  .map((changes) => ({ ...base, ...changes }))

/** Asks as it is told to, hears the answers in that order, and ends where all who were asked have answered. */
function course(policy: Policy, answers: ReadonlyMap<string, Answer>, order: readonly string[]) {
  let slots = unasked(policy)
  let early: string | null = null
  for (;;) {
    const decision: Decision = decide(policy, slots, null)
    if (decision.ask.length > 0) {
      slots = slots.map((slot) =>
        decision.ask.includes(slot.upstream) ? { ...slot, isAsked: true } : slot,
      )
      continue
    }
    if (decision.choice.kind !== 'wait') early ??= brief(decision.choice)
    const next = order.find((name) =>
      slots.some(
        ({ upstream, isAsked, answer }) => upstream === name && isAsked && answer === null,
      ),
    )
    const answer = next === undefined ? undefined : answers.get(next)
    if (answer === undefined) return { early, decision }
    slots = slots.map((slot) => (slot.upstream === next ? { ...slot, answer } : slot))
  }
}

const anySayings = (paths: readonly Fields[]) =>
  fc
    .tuple(...names.map(() => sayingOf(paths)))
    .map((sayings) => new Map(names.map((name, at) => [name, sayings[at]] as const)))
    .map((sayings) => sayings as ReadonlyMap<string, Saying>)

const orders = permutations(names)

const answersOf = (policy: Policy, sayings: ReadonlyMap<string, Saying>) =>
  new Map([...sayings].map(([name, { said }]) => [name, answerOf(policy, name, said(name))]))

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
