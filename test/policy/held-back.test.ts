/** Upstreams of an `equivalent` group are asked one after the other, and nothing is decided otherwise for that. */
import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { decide, unasked } from '../../src/policy/decide.ts'
import { groupOf } from '../../src/policy/held-back.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { judge } from '../../src/policy/verdict.ts'
import { decisionOn } from './answers.ts'
import {
  answersOf,
  anyGroups,
  anyPolicy,
  anySayings,
  contentAddressed,
  course,
  inGroups,
  inputAddressed,
  names,
  orders,
} from './courses.ts'
import { flat, plain, signed } from './claims.ts'
import { acmeKey, nixosKey, policy as base, rule, upstream } from './policies.ts'

const seed = 20261126
const equivalent = 'mirrors'
const grouped: Policy = {
  ...base,
  upstreams: [
    upstream('a', [nixosKey], { equivalent }),
    upstream('b', [nixosKey]),
    upstream('c', [acmeKey], { equivalent }),
    upstream('d', [nixosKey], { equivalent }),
  ],
}
const good = signed(plain, nixosKey)
const others = { b: 'absent', c: 'unasked', d: 'unasked' } as const

t.test('at first one of the group is asked, beside those of none', async (t) => {
  t.same(decide(grouped, unasked(grouped), null).ask, ['a', 'b'])
  t.same(decisionOn(grouped, { ...others, a: 'awaited' }).ask, [])
  t.same(decisionOn(grouped, { ...others, a: good }).ask, [])
  t.match(decisionOn(grouped, { ...others, a: good }).choice, {
    answer: { claim: { upstream: 'a' } },
  })
})

t.test(
  'the next one is asked where the first does not have it, is refused or cannot tell',
  async (t) => {
    for (const said of ['absent', 'down', plain] as const) {
      t.same(decisionOn(grouped, { ...others, a: said }).ask, ['c'])
      t.same(decisionOn(grouped, { ...others, a: said, c: said }).ask, ['d'])
    }
    t.equal(decisionOn(grouped, { ...others, a: 'absent', c: 'awaited' }).choice.kind, 'wait')
  },
)

t.test(
  'the next one is asked where the first is slow, and whoever answers first is taken',
  async (t) => {
    const slots = unasked(grouped).map((slot) => ({
      ...slot,
      isAsked: slot.upstream === 'a',
      yields: slot.upstream === 'a',
    }))
    t.same(decide(grouped, slots, null).ask, ['b', 'c'])
  },
)

t.test('nobody is held back where others’ words count', async (t) => {
  const rules = { agree: rule({ agree: 2 }), refuse: rule({ onDivergence: 'refuse' }) }
  for (const one of Object.values(rules)) {
    const wanting = { ...grouped, rules: [one] }
    const { ask } = decisionOn(wanting, { ...others, a: good })
    t.ok(ask.length > 0 && ask.every((name) => ['c', 'd'].includes(name)), ask.join(' '))
  }
  t.same(decisionOn(grouped, { ...others, a: flat }).ask, ['c'], 'a content address alone')
  t.same(decisionOn(grouped, { ...others, a: signed(flat, nixosKey) }).ask, [])
})

t.test('private upstreams hold back only each other', async (t) => {
  const upstreams = grouped.upstreams.map((each) => ({
    ...each,
    private: each.name === 'a' || each.name === 'c',
  }))
  const policy = { ...grouped, upstreams }
  t.same(decide(policy, unasked(policy), null).ask, ['a'])
  const unaskedOthers = { b: 'unasked', c: 'unasked', d: 'unasked' } as const
  t.same(decisionOn(policy, { ...unaskedOthers, a: 'absent' }).ask, ['c'])
  t.same(decisionOn(policy, { ...unaskedOthers, a: 'absent', c: 'absent' }).ask, ['b', 'd'])
})

t.test(
  'what comes of it is what would come of asking all, but for who of a group is taken',
  async (t) => {
    let spared = 0
    fc.assert(
      fc.property(
        anyPolicy,
        anyGroups,
        fc.constantFrom(inputAddressed, contentAddressed).chain(anySayings),
        fc.constantFrom(...orders),
        fc.subarray([...names]),
        (policy, groups, sayings, order, slow) => {
          const some = inGroups(policy, groups)
          const answers = answersOf(policy, sayings)
          const all = course(policy, answers, order)
          const held = course(some, answers, order, slow)
          const [expected, choice] = [all.decision.choice, held.decision.choice]
          equal(choice.kind, expected.kind)
          spared += all.slots.filter(({ isAsked }) => isAsked).length
          spared -= held.slots.filter(({ isAsked }) => isAsked).length
          if (choice.kind !== 'trusted' || expected.kind !== 'trusted') return
          equal(judge(policy, choice.answer.claim).kind, 'trusted')
          const [mine, other] = [choice, expected].map(({ answer }) => answer.claim.upstream)
          const group = groupOf(some, mine ?? '')
          ok(mine === other || (group !== null && groupOf(some, other ?? '') === group))
        },
      ),
      { seed, numRuns: 2000 },
    )
    t.ok(spared > 40, `${spared} questions were spared`)
  },
)
