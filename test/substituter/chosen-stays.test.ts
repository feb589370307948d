/** What was chosen stands while those are asked who were held back. */
import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Reply } from '../../src/policy/views.ts'
import { Inquiry } from '../../src/substituter/finding/inquiry.ts'
import { brief } from '../policy/answers.ts'
import {
  answersOf,
  anyGroups,
  anyPolicy,
  anySayings,
  contentAddressed,
  inGroups,
  inputAddressed,
  names,
  orders,
} from '../policy/courses.ts'

t.test('to ask everybody changes no choice before they answer', async (t) => {
  let asked = 0
  await fc.assert(
    fc.asyncProperty(
      anyPolicy,
      anyGroups,
      fc.boolean(),
      fc.constantFrom(inputAddressed, contentAddressed).chain(anySayings),
      fc.constantFrom(...orders),
      fc.subarray([...names]),
      fc.integer({ min: 0, max: 3 }),
      async (written, groups, enforce, sayings, order, slow, late) => {
        const policy = { ...inGroups(written, groups), enforce }
        const answers = answersOf(policy, sayings)
        const pending = new Map<string, (reply: Reply) => void>()
        const inquiry = new Inquiry({
          policy: () => policy,
          ask: (name) => {
            ok(!pending.has(name), 'nobody is asked twice')
            const { promise, resolve } = Promise.withResolvers<Reply>()
            pending.set(name, resolve)
            return promise
          },
          expected: () => null,
          isSlow: (name) => Promise.resolve(slow.some((each) => each === name)),
          judged: () => undefined,
          settledAgain: () => undefined,
        })
        const said = new Set<string>()
        const sayNext = async (): Promise<boolean> => {
          const next = order.find((name) => pending.has(name) && !said.has(name))
          if (next === undefined) return false
          said.add(next)
          const answer = answers.get(next)
          if (answer === undefined) throw new Error('it says something')
          pending.get(next)?.(
            answer.kind === 'trusted' || answer.kind === 'refused'
              ? { kind: 'claim', claim: answer.claim }
              : answer,
          )
          await new Promise(setImmediate)
          return true
        }
        const seen = { isChosen: false }
        void inquiry.chosen.then(() => (seen.isChosen = true))
        await new Promise(setImmediate)
        while (!seen.isChosen && (await sayNext()));
        ok(seen.isChosen)
        for (let more = 0; more < late; more += 1) await sayNext()
        const before = inquiry.views
        const count = pending.size
        const all = inquiry.everybody()
        asked += pending.size - count
        if (before.serving.choice.kind === 'trusted') {
          equal(brief(inquiry.views.serving.choice), brief(before.serving.choice))
          equal(brief(inquiry.views.enforced.choice), brief(before.enforced.choice))
        }
        while (await sayNext());
        await all
        equal(inquiry.everybody(), inquiry.settled)
        ok(inquiry.views.serving.choice.kind !== 'wait')
      },
    ),
    { seed: 20261126, numRuns: 500 },
  )
  t.ok(asked > 20, `${asked} were asked`)
})
