import { equal } from 'node:assert/strict'
import t from 'tap'
import type { Answer, AnswerSlot } from '../../src/policy/answer.ts'
import { choose } from '../../src/policy/choose.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { must } from '../nix/fixtures.ts'
import { answerOf, brief, slotsOf } from './answers.ts'
import { hashTwo, plain, signed } from './claims.ts'
import { nixosKey, policy as base, rule, upstream } from './policies.ts'

const names = ['a', 'b', 'c', 'd'] as const
const policy: Policy = { ...base, upstreams: names.map((name) => upstream(name, [nixosKey])) }
const good = signed(plain, nixosKey)

const answers = (name: string): readonly Answer[] => [
  answerOf(policy, name, good),
  answerOf(policy, name, plain),
  answerOf(policy, name, 'absent'),
  answerOf(policy, name, 'down'),
]

const answersOf = names.map((upstream) => [upstream, answers(upstream)] as const)

/** All rows of `length` slots: every answer and every wait, of optional upstreams and others. */
function rows(length: number): readonly (readonly AnswerSlot[])[] {
  if (length === 0) return [[]]
  const [upstream, possible] = must(answersOf[length - 1])
  const last = [null, ...possible].flatMap((answer) => [
    { upstream, optional: false, isAsked: true, yields: false, isBesides: false, answer },
    { upstream, optional: true, isAsked: true, yields: false, isBesides: false, answer },
  ])
  return rows(length - 1).flatMap((slots) => last.map((slot) => [...slots, slot]))
}

/** All ways in which the answers that are awaited may turn out. */
function completions(slots: readonly AnswerSlot[]): readonly (readonly AnswerSlot[])[] {
  return slots.reduce<readonly (readonly AnswerSlot[])[]>(
    (rows, slot, index) => {
      const possible = slot.answer === null ? must(answersOf[index])[1] : [slot.answer]
      return rows.flatMap((row) => possible.map((answer) => [...row, { ...slot, answer }]))
    },
    [[]],
  )
}

/** The rule, where everybody has answered. */
function outcome(slots: readonly AnswerSlot[]): string {
  const winner = slots.find(({ answer }) => answer?.kind === 'trusted')
  if (winner !== undefined) return `trusted ${winner.upstream}`
  const lost = slots.filter(({ answer, optional }) => answer?.kind === 'unknown' && !optional)
  return lost.length > 0 ? 'unknown' : 'absent'
}

t.test(
  'the choice is what every outcome of the awaited answers would lead to, and else to wait',
  async (t) => {
    for (const length of [0, 1, 2, 3]) {
      for (const slots of rows(length)) {
        const outcomes = new Set(completions(slots).map(outcome))
        const expected = outcomes.size === 1 ? [...outcomes][0] : 'wait'
        const { choice } = choose(policy, slots)
        equal(
          brief(choice),
          expected,
          JSON.stringify(slots.map(({ answer }) => answer?.kind ?? null)),
        )
      }
    }
    t.pass()
  },
)

t.test(
  'with four upstreams and all answers in, the most preferred trusted claim wins',
  async (t) => {
    for (const slots of rows(4)) {
      if (slots.some(({ answer }) => answer === null)) continue
      equal(brief(choose(policy, slots).choice), outcome(slots))
    }
    t.pass()
  },
)

const grouped: Policy = {
  ...policy,
  upstreams: [
    upstream('a', [nixosKey], { equivalent: 'mirrors' }),
    upstream('b', [nixosKey], { equivalent: 'others' }),
    upstream('c', [nixosKey], { equivalent: 'mirrors' }),
    upstream('d', [nixosKey]),
  ],
}
const chosenFrom = (rules: Policy, said: Parameters<typeof slotsOf>[1]): string =>
  brief(choose(rules, slotsOf(rules, said)).choice)

t.test('an upstream of the same equivalent group need not be waited for', async (t) => {
  t.equal(chosenFrom(grouped, { a: 'awaited', c: good }), 'trusted c')
  t.equal(chosenFrom(grouped, { a: good, c: good }), 'trusted a', 'once it has answered it wins')
})

t.test('an upstream of another group, or of none, is waited for', async (t) => {
  t.equal(chosenFrom(grouped, { a: 'awaited', b: 'awaited', c: good }), 'wait')
  t.equal(chosenFrom(grouped, { a: 'awaited', b: good }), 'wait')
  t.equal(chosenFrom(grouped, { a: 'awaited', d: good }), 'wait')
  t.equal(chosenFrom(policy, { a: 'awaited', b: good }), 'wait', 'none is no group')
})

t.test("a rule's own order of preference outranks the upstreams'", async (t) => {
  const reversed = { ...policy, rules: [rule({ from: ['c', 'b', 'a'] })] }
  t.equal(chosenFrom(reversed, { a: good, b: good, c: good }), 'trusted c')
  t.equal(chosenFrom(reversed, { a: good, b: 'awaited', c: 'absent' }), 'wait')
  t.equal(chosenFrom(reversed, { a: good, b: 'absent', c: 'down' }), 'trusted a')
})

/* A name that a more preferred upstream would contradict must not win by being first. */
t.test('who may speak for a name still waits for those that are preferred to it', async (t) => {
  const later = { ...policy, rules: [rule({ from: ['c'] })] }
  t.equal(chosenFrom(later, { a: 'awaited', c: good }), 'wait')
  t.equal(chosenFrom(later, { c: good, d: 'awaited' }), 'trusted c')
})

t.test('too few builders are no answer while somebody may still say another name', async (t) => {
  const two = { ...policy, rules: [rule({ from: ['c', 'd'], agree: 2 })] }
  t.equal(chosenFrom(two, { b: 'awaited', c: good }), 'wait')
  t.equal(chosenFrom(two, { c: good }), 'absent')
})

const strict = { ...policy, rules: [rule({ onDivergence: 'refuse' })] }
const other = signed({ ...plain, narHash: hashTwo }, nixosKey)

t.test('where a rule refuses divergence, all are waited for', async (t) => {
  t.equal(chosenFrom(strict, { a: good, d: 'awaited' }), 'wait')
  t.equal(chosenFrom(strict, { a: good, d: good }), 'trusted a')
})

t.test('where a rule refuses divergence, nobody wins by preference', async (t) => {
  const { choice, slots } = choose(strict, slotsOf(strict, { a: good, b: other, c: plain }))
  t.equal(choice.kind, 'absent')
  t.strictSame(
    slots.map(({ answer }) => answer?.kind === 'refused' && answer.verdict.reason),
    ['divergence', 'divergence', 'no-trusted-signature', false],
  )
})

t.test('where a rule serves divergence, the preferred claim is served', async (t) => {
  t.equal(chosenFrom(policy, { a: other, b: good }), 'trusted a')
})
