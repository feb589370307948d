import t from 'tap'
import { candidates, phasesOf } from '../../src/policy/ask-order.ts'
import { unasked } from '../../src/policy/decide.ts'
import { isLastHope } from '../../src/policy/last-hope.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import { replied, unaskedSlots } from '../../src/policy/views.ts'
import { brief, decisionOn, type SaidBy, step } from './answers.ts'
import { called, hashTwo, plain, signed } from './claims.ts'
import { nixosKey, policy as base, rule, upstream } from './policies.ts'

const good = signed(plain, nixosKey)
const of = (
  upstreams: Readonly<Record<string, Partial<PolicyUpstream>>>,
  changes: Partial<Policy> = {},
): Policy => ({
  ...base,
  upstreams: Object.entries(upstreams).map(([name, each]) => upstream(name, [nixosKey], each)),
  ...changes,
})
const phases = (policy: Policy): readonly string[] =>
  phasesOf(policy).map(({ upstreams, isPrivate }) =>
    [...upstreams, ...(isPrivate ? ['alone'] : [])].join(' '),
  )

/** What is done step by step, where each upstream says that once it is asked. */
function course(policy: Policy, saidBy: SaidBy): readonly string[] {
  const asked = new Set<string>()
  const steps: string[] = []
  for (;;) {
    const known = unasked(policy).map(
      ({ upstream }) =>
        [upstream, asked.has(upstream) ? (saidBy[upstream] ?? 'absent') : 'unasked'] as const,
    )
    const decision = decisionOn(policy, Object.fromEntries(known))
    steps.push(step(decision))
    if (decision.ask.length === 0) return steps
    for (const upstream of decision.ask) asked.add(upstream)
  }
}

t.test('tier by tier, in each the private ones first and alone', async (t) => {
  const policy = of({
    a: {},
    b: { tier: 2 },
    c: { private: true },
    d: { tier: 1 },
    e: { tier: 1, private: true },
    f: {},
    g: { private: true },
  })
  t.strictSame(phases(policy), ['c g alone', 'a f', 'e alone', 'd', 'b'])
})

t.test('a tier is asked only where no lower one has a trusted claim', async (t) => {
  const policy = of({ a: {}, b: { tier: 1 }, c: { tier: 1 } })
  t.strictSame(course(policy, { a: good, b: good }), ['ask a', 'trusted a'])
  t.strictSame(course(policy, { b: good }), ['ask a', 'ask b c', 'trusted b'])
  t.strictSame(course(policy, { a: plain, c: good }), ['ask a', 'ask b c', 'trusted c'], 'refused')
  t.strictSame(course(policy, {}), ['ask a', 'ask b c', 'absent'])
})

t.test('a later tier is not asked while an earlier one has not answered', async (t) => {
  const policy = of({ a: {}, b: {}, c: { tier: 1 } })
  t.equal(step(decisionOn(policy, { a: 'absent', b: 'awaited', c: 'unasked' })), 'wait')
})

t.test('an outage of an earlier tier does not keep a later one from being asked', async (t) => {
  const policy = of({ a: {}, b: { tier: 1 } })
  t.strictSame(course(policy, { a: 'down', b: good }), ['ask a', 'ask b', 'trusted b'])
  t.strictSame(course(policy, { a: 'down' }), ['ask a', 'ask b', 'unknown'])
})

t.test('what a private upstream has is asked of nobody else', async (t) => {
  const policy = of({ a: {}, b: { private: true } })
  t.strictSame(course(policy, { a: good, b: good }), ['ask b', 'trusted b'])
  t.strictSame(course(policy, { a: good }), ['ask b', 'ask a', 'trusted a'])
})

t.test('while a private upstream cannot tell, nobody else is asked', async (t) => {
  const policy = of({ a: {}, b: { private: true } })
  t.strictSame(course(policy, { a: good, b: 'down' }), ['ask b', 'unknown'])
  const lower = of({ a: {}, b: { private: true, tier: 1 }, c: { tier: 1 } })
  t.strictSame(course(lower, { b: 'down', c: good }), ['ask a', 'ask b', 'unknown'])
})

t.test('an optional private upstream that cannot tell is passed over', async (t) => {
  const policy = of({ a: {}, b: { private: true, optional: true } })
  t.strictSame(course(policy, { a: good, b: 'down' }), ['ask b', 'ask a', 'trusted a'])
  t.strictSame(course(policy, { b: 'down' }), ['ask b', 'ask a', 'absent'])
})

t.test('a suspended upstream is never asked', async (t) => {
  const policy = of({ a: {}, b: {}, c: { private: true } }, { suspended: new Set(['a', 'c']) })
  t.strictSame(phases(policy), ['b'])
  t.strictSame(course(policy, { a: good, b: good }), ['ask b', 'trusted b'])
  const strict = { ...policy, rules: [rule({ agree: 2, from: ['a', 'b'] })] }
  t.strictSame(course(strict, { b: good }), ['ask b', 'absent'], 'nor for an agreement')
})

t.test('where what no rule matches is denied, only whom a rule names is asked', async (t) => {
  const names = (policy: Policy) => candidates(policy).map(({ name }) => name)
  const policy = of({ a: {}, b: {}, c: {} })
  const rules = [rule({ paths: ['x-*'], from: ['c'] }), rule({ paths: ['y-*'], from: ['a', 'c'] })]
  t.strictSame(names({ ...policy, rules }), ['a', 'b', 'c'], 'allowed')
  t.strictSame(names({ ...policy, rules, unmatched: 'deny' }), ['a', 'c'])
  t.strictSame(names({ ...policy, unmatched: 'deny' }), [], 'no rule at all')
  const open = [...rules, rule({ paths: ['z-*'] })]
  t.strictSame(names({ ...policy, rules: open, unmatched: 'deny' }), ['a', 'b', 'c'])
})

t.test('nobody to ask is an answer: absent', async (t) => {
  t.strictSame(course(of({ a: {} }, { unmatched: 'deny' }), { a: good }), ['absent'])
})

t.test('an agreement asks across tiers, and what it hears decides', async (t) => {
  const policy = of(
    { a: {}, b: { tier: 1 }, c: { tier: 2 } },
    { rules: [rule({ packages: new Set(['top']), agree: 2, from: ['a', 'c'] })] },
  )
  t.strictSame(course(policy, { a: good }), ['ask a', 'ask c', 'ask b', 'absent'])
  const plainName = signed(called('other'), nixosKey)
  t.strictSame(course(policy, { a: plainName }), ['ask a', 'trusted a'])
})

t.test('absent is never said while an upstream that is not optional could not tell', async (t) => {
  const policy = of({ a: {}, b: {}, c: { optional: true } })
  t.equal(brief(decisionOn(policy, { a: plain, b: 'down' }).choice), 'unknown')
  t.equal(brief(decisionOn(policy, { a: plain, c: 'down' }).choice), 'absent')
  t.equal(brief(decisionOn(policy, { a: 'down', b: good }).choice), 'trusted b')
})

/* Certainty. */
t.test('a choice is certain unless somebody who comes first could not tell', async (t) => {
  const policy = of({ a: {}, b: { optional: true }, c: {} })
  const isCertain = (saidBy: SaidBy) => decisionOn(policy, saidBy).isCertain
  t.ok(isCertain({ a: good }))
  t.ok(isCertain({ b: good }), 'the better one does not have it')
  t.ok(isCertain({ a: good, c: 'down' }), 'the worse one is down')
  t.ok(isCertain({ a: plain, b: good }), 'the better one was refused')
  t.notOk(isCertain({ a: 'down', b: good }))
  t.notOk(isCertain({ b: 'down', c: good }), 'optional or not')
  t.notOk(isCertain({ a: 'awaited', b: good }), 'no choice yet')
  t.notOk(isCertain({}), 'none at all')
})

t.test("certainty goes by the rule's order, and by who could say another name", async (t) => {
  const policy = of({ a: {}, b: {}, c: {}, d: {} }, { rules: [rule({ from: ['c', 'b'] })] })
  t.notOk(decisionOn(policy, { b: good, c: 'down' }).isCertain)
  t.notOk(decisionOn(policy, { c: good, a: 'down' }).isCertain, 'a is preferred in general')
  t.ok(decisionOn(policy, { c: good, d: 'down' }).isCertain)
})

t.test('a private upstream that has what nobody may vouch for keeps it to itself', async (t) => {
  const closed = of(
    { a: { private: true }, b: {} },
    { unmatched: 'deny', rules: [rule({ paths: ['other'] })] },
  )
  t.strictSame(decisionOn(closed, { a: good, b: 'unasked' }).ask, [])
  const named = of({ a: { private: true }, b: {} }, { rules: [rule({ from: ['b'] })] })
  t.strictSame(decisionOn(named, { a: good, b: 'unasked' }).ask, ['b'])
})

t.test('trusted claims that differ are a divergence, refused ones are not', async (t) => {
  const policy = of({ a: {}, b: {} })
  const other = { ...plain, narHash: hashTwo }
  t.ok(decisionOn(policy, { a: good, b: signed(other, nixosKey) }).isDivergent)
  t.notOk(decisionOn(policy, { a: good, b: other }).isDivergent)
  t.notOk(decisionOn(policy, { a: good, b: good }).isDivergent)
})

t.test('the last hope', async (t) => {
  /** Whether `one` is, with these down and those who said already that they do not have it. */
  const isLast = (
    policy: Policy,
    { down = ['one'], said = [] }: { down?: readonly string[]; said?: readonly string[] } = {},
  ): boolean => {
    const slots = unaskedSlots(policy).map((slot) =>
      said.includes(slot.upstream) ? replied(policy, slot, { kind: 'absent' }) : slot,
    )
    return isLastHope(policy, slots, 'one', (name) => down.includes(name))
  }

  t.test('is who has nobody beside, or nobody who is up', async (t) => {
    t.ok(isLast(of({ one: {} })))
    t.notOk(isLast(of({ one: {}, two: {} })))
    t.ok(isLast(of({ one: {}, two: {} }), { down: ['one', 'two'] }))
    t.notOk(isLast(of({ one: {}, two: {}, three: {} }), { down: ['one', 'two'] }))
  })

  t.test('is who comes after those that answered already', async (t) => {
    const tiers = of({ two: { tier: 0 }, one: { tier: 1 } })
    t.ok(isLast(tiers, { said: ['two'] }))
    t.notOk(isLast(tiers))
  })

  t.test('is nobody before a tier in which somebody is up', async (t) => {
    t.notOk(isLast(of({ one: { tier: 0 }, two: { tier: 1 } })))
  })

  t.test('is a private one whose word keeps the name from the others', async (t) => {
    t.ok(isLast(of({ one: { private: true }, two: {} })))
    t.notOk(isLast(of({ one: { private: true, optional: true }, two: {} })))
    t.notOk(isLast(of({ one: { private: true }, two: { private: true } })))
  })

  t.test('is whoever may answer: what lies in the store, or is suspended, is nobody', async (t) => {
    t.ok(isLast(of({ one: {}, import: { optional: true } })))
    t.ok(isLast(of({ one: {}, two: {} }, { suspended: new Set(['two']) })))
  })
})
