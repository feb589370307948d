import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  earned,
  fullBudget,
  isTransient,
  mayRetry,
  type QuestionFailure,
  type RetryBudget,
  retryAfter,
  tryMs,
} from '../../src/policy/retry.ts'

const seed = 20260731
const failure = (change: Partial<QuestionFailure> = {}): QuestionFailure => ({
  ...{ code: 'connect', status: null, retryAfterMs: null },
  ...change,
})
const state = { retries: 0, budget: fullBudget, leftMs: 10_000, random: 0.5 }

t.test('what may be otherwise in a moment is asked again, and nothing else', async (t) => {
  for (const code of ['connect', 'timeout', 'reset']) t.ok(isTransient(failure({ code })), code)
  const others = [
    ...['too-large', 'unexpected-encoding', 'url-refused', 'redirect-refused', 'address-refused'],
    ...['tls', 'credentials', 'overloaded', 'malformed', 'breaker-open', 'internal'],
  ]
  for (const code of others) t.notOk(isTransient(failure({ code })), code)
  const status = (of: number): boolean => isTransient(failure({ code: 'status', status: of }))
  for (const each of [408, 425, 429, 500, 502, 503, 504, 521]) t.ok(status(each), String(each))
  for (const each of [201, 206, 304, 400, 401, 403, 407, 418, 451, 501, 505]) {
    t.notOk(status(each), String(each))
  }
})

t.test('it is asked again twice at most, after pauses that double', async (t) => {
  const pauses = [0, 1, 2].map((retries) => retryAfter(failure(), { ...state, retries }))
  t.strictSame(pauses, [{ pauseMs: 50, isCounted: true }, { pauseMs: 100, isCounted: true }, null])
})

t.test('an upstream that says when to come again is taken at its word', async (t) => {
  const told = failure({ code: 'status', status: 503, retryAfterMs: 3000 })
  t.strictSame(retryAfter(told, state), { pauseMs: 3050, isCounted: true })
  t.equal(
    retryAfter(told, { ...state, leftMs: 3050 }),
    null,
    'which does not fit: given up at once',
  )
})

t.test(
  'a question that was held back waits for the end of the pause, and costs nothing',
  async (t) => {
    const held = failure({ code: 'breaker-open', retryAfterMs: 1000 })
    const spent = { ...state, retries: 2, budget: 0, random: 0 }
    t.strictSame(retryAfter(held, spent), { pauseMs: 1000, isCounted: false })
    t.equal(retryAfter(failure({ code: 'breaker-open' }), state), null)
  },
)

t.test('a try leaves time for another one, the last takes what is left', async (t) => {
  t.equal(tryMs(10_000, 0, fullBudget), 6000)
  t.equal(tryMs(4000, 1, fullBudget), 2400)
  t.equal(tryMs(1600, 2, fullBudget), 1600)
  t.equal(tryMs(10_000, 0, 0.9), 10_000, 'nor is there another one without a budget')
})

t.test(
  'an outage is not multiplied: whatever fails, retries are a tenth of the questions',
  async () => {
    const anyQuestion = fc.record({
      /** How many tries of it fail. */
      failing: fc.nat(5),
      random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    })
    fc.assert(
      fc.property(fc.array(anyQuestion, { maxLength: 400 }), (questions) => {
        let budget: RetryBudget = fullBudget
        let requests = 0
        for (const { failing, random } of questions) {
          budget = earned(budget)
          for (let retries = 0; ; retries += 1) {
            requests += 1
            if (retries >= failing) break
            if (retryAfter(failure(), { ...state, retries, budget, random }) === null) break
            ok(mayRetry(retries, budget))
            budget -= 1
          }
          ok(budget >= -1e-9 && budget <= fullBudget)
        }
        ok(requests <= 1.1 * questions.length + 10 + 1e-6)
      }),
      { seed, numRuns: 200 },
    )
  },
)

t.test('a pause is never longer than what is left, nor than it has to be', async () => {
  fc.assert(
    fc.property(
      fc.record({
        retries: fc.nat(3),
        budget: fc.double({ min: 0, max: 10, noNaN: true }),
        leftMs: fc.nat(20_000),
        random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        retryAfterMs: fc.option(fc.nat(30_000)),
      }),
      ({ retryAfterMs, ...now }) => {
        const retry = retryAfter(failure({ code: 'status', status: 503, retryAfterMs }), now)
        if (retry === null) return
        ok(retry.pauseMs < now.leftMs)
        ok(retry.pauseMs >= (retryAfterMs ?? 0) && retry.pauseMs <= (retryAfterMs ?? 0) + 2000)
        equal(retry.isCounted, true)
      },
    ),
    { seed },
  )
})
