import { equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  admit,
  after,
  type Breaker,
  closedBreaker,
  type RequestResult,
} from '../../src/policy/breaker.ts'

const seed = 20260731
const failed = (breaker: Breaker, ...times: readonly number[]): Breaker =>
  times.reduce((now, at) => after(now, 'failed', at), breaker)
/** Open since 0, for a second. */
const open = failed(closedBreaker, 0, 0, 0)
const probing = (at: number, breaker = open): Breaker => admit(breaker, at).breaker

t.test('three failures within the window open it, for a second', async (t) => {
  t.equal(failed(closedBreaker, 0, 10_000).kind, 'closed')
  t.strictSame(failed(closedBreaker, 0, 10_000, 29_999), {
    kind: 'open',
    untilMs: 30_999,
    trips: 1,
  })
})

t.test('failures that are older than the window are forgotten', async (t) => {
  t.equal(failed(closedBreaker, 0, 15_000, 30_000).kind, 'closed')
  t.equal(failed(closedBreaker, 0, 15_000, 30_000, 44_999).kind, 'open')
})

t.test('a success between forgets the failures before it', async (t) => {
  const between = after(failed(closedBreaker, 0, 1), 'succeeded', 2)
  t.strictSame(between, closedBreaker)
  t.equal(failed(between, 3, 4).kind, 'closed')
})

t.test('while it is closed all are admitted, while it is open none', async (t) => {
  t.ok(admit(closedBreaker, 0).isAdmitted)
  t.ok(admit(failed(closedBreaker, 0, 0), 0).isAdmitted)
  t.notOk(admit(open, 0).isAdmitted)
  t.notOk(admit(open, 999).isAdmitted)
})

t.test('after its time one request finds out, and no other is admitted', async (t) => {
  const { breaker, isAdmitted } = admit(open, 1000)
  t.ok(isAdmitted)
  t.equal(breaker.kind, 'probing')
  t.notOk(admit(breaker, 1000).isAdmitted)
  t.notOk(admit(breaker, 100_000).isAdmitted, 'however long it takes')
})

t.test('a probe that succeeds closes it', async (t) => {
  t.strictSame(after(probing(1000), 'succeeded', 1500), closedBreaker)
})

t.test('a probe that fails opens it for twice as long, up to half a minute', async (t) => {
  let breaker = open
  let now = 0
  const openMs: number[] = []
  for (let trip = 0; trip < 8; trip++) {
    if (breaker.kind !== 'open') throw new TypeError(breaker.kind)
    openMs.push(breaker.untilMs - now)
    now = breaker.untilMs
    breaker = after(probing(now, breaker), 'failed', now)
  }
  t.strictSame(openMs, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

t.test('a success begins anew: the next opening is short again', async (t) => {
  const twice = after(probing(1000), 'failed', 1000)
  const healed = after(probing(3000, twice), 'succeeded', 3000)
  t.strictSame(failed(healed, 4000, 4000, 4000), { kind: 'open', untilMs: 5000, trips: 1 })
})

t.test(
  'a request that was abandoned says nothing, and an abandoned probe lets another',
  async (t) => {
    const two = failed(closedBreaker, 0, 0)
    t.equal(after(two, 'abandoned', 1), two)
    const left = after(probing(1000), 'abandoned', 1200)
    t.ok(admit(left, 1200).isAdmitted)
    const { breaker } = admit(left, 1200)
    t.strictSame(after(breaker, 'failed', 1200), { kind: 'open', untilMs: 3200, trips: 2 })
  },
)

t.test('a failure from before it opened does not keep it open longer', async (t) => {
  t.equal(after(open, 'failed', 500), open)
  t.equal(after(open, 'abandoned', 500), open)
  t.strictSame(after(open, 'succeeded', 500), closedBreaker)
})

t.test('whatever happens, an upstream is asked again within half a minute', async () => {
  const anyStep = fc.record({
    waitMs: fc.nat(40_000),
    result: fc.constantFrom<RequestResult>('succeeded', 'failed', 'failed', 'abandoned'),
  })
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      let breaker: Breaker = closedBreaker
      let now = 0
      for (const { waitMs, result } of steps) {
        now += waitMs
        const admission = admit(breaker, now)
        breaker = admission.isAdmitted ? after(admission.breaker, result, now) : admission.breaker
        equal(breaker.kind === 'probing', false, 'its only request has ended')
        ok(admit(breaker, now + 30_000).isAdmitted)
        if (result === 'succeeded' && admission.isAdmitted) equal(breaker, closedBreaker)
      }
    }),
    { seed, numRuns: 500 },
  )
})
