/** The names that private upstreams hold stay with them, also where their claims come to nothing. */
import { deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { type Answer, trustedAnswers } from '../../src/policy/answer.ts'
import { phasesOf } from '../../src/policy/ask-order.ts'
import type { Policy } from '../../src/policy/policy.ts'
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

const holds = ({ upstreams }: Policy, name: string, answer: Answer | undefined): boolean => {
  if (answer?.kind === 'trusted') return true
  if (answer?.kind === 'refused') {
    return answer.verdict.reason !== 'upstream-not-allowed' || answer.verdict.rule === null
  }
  const isOptional = upstreams.some((each) => each.name === name && each.optional)
  return answer?.kind === 'unknown' && !isOptional
}

t.test('nobody after a private upstream is asked whose word no agreement wants', async () => {
  fc.assert(
    fc.property(
      anyPolicy,
      anyGroups,
      fc.constantFrom(inputAddressed, contentAddressed).chain(anySayings),
      fc.constantFrom(...orders),
      fc.subarray([...names]),
      (policy, groups, sayings, order, slow) => {
        const some = inGroups(policy, groups)
        const answers = answersOf(some, sayings)
        const { slots } = course(some, answers, order, slow)
        const wanted = trustedAnswers(slots).flatMap(({ verdict: { rule, isNameProven } }) =>
          rule === null || rule.agree === 1 || isNameProven ? [] : (rule.from ?? names),
        )
        const phases = phasesOf(some)
        const holder = phases.findIndex(
          ({ isPrivate, upstreams }) =>
            isPrivate && upstreams.some((name) => holds(some, name, answers.get(name))),
        )
        const after = holder === -1 ? [] : phases.slice(holder + 1)
        const late = after.flatMap(({ upstreams }) => upstreams)
        const leaked = slots.filter(
          ({ upstream, isAsked }) =>
            isAsked && late.includes(upstream) && !wanted.includes(upstream),
        )
        deepEqual(leaked, [])
      },
    ),
    { seed: 20261126, numRuns: 2000 },
  )
})
