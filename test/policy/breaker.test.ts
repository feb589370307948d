import { ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  afterProbe,
  afterRequest,
  type Breaker,
  closedBreaker,
  mayAsk,
  pauseMs,
  probed,
  type RequestResult,
} from '../../src/policy/breaker.ts'

const seed = 20260731
/** The host is down. */
const down: RequestResult = { kind: 'failed', object: null, retryAfterMs: null }
const succeeded: RequestResult = { kind: 'succeeded' }
const abandoned: RequestResult = { kind: 'abandoned' }
const failedFor = (object: string): RequestResult => ({
  kind: 'failed',
  object,
  retryAfterMs: null,
})
const toldToWait = (retryAfterMs: number): RequestResult => ({
  kind: 'failed',
  object: 'x',
  retryAfterMs,
})
const failed = (breaker: Breaker, ...times: readonly number[]): Breaker =>
  times.reduce((now, at) => afterRequest(now, down, at), breaker)
/** Open since 0, for a second. */
const open = failed(closedBreaker, 0, 0, 0)

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
  const between = afterRequest(failed(closedBreaker, 0, 1), succeeded, 2)
  t.strictSame(between, closedBreaker)
  t.equal(failed(between, 3, 4).kind, 'closed')
})

t.test('an object that fails again and again counts once', async (t) => {
  let breaker: Breaker = closedBreaker
  for (let at = 0; at < 20; at += 1) breaker = afterRequest(breaker, failedFor('one'), at)
  t.equal(breaker.kind, 'closed')
  breaker = afterRequest(breaker, failedFor('two'), 20)
  t.equal(breaker.kind, 'closed')
  t.equal(afterRequest(breaker, failedFor('two'), 21).kind, 'closed')
  t.equal(afterRequest(breaker, failedFor('three'), 22).kind, 'open')
  t.equal(afterRequest(breaker, down, 22).kind, 'open', 'a host that is down is one more')
})

t.test('while it is closed all may ask, while it is open or probed nobody', async (t) => {
  t.ok(mayAsk(closedBreaker, 0))
  t.ok(mayAsk(failed(closedBreaker, 0, 0), 0))
  t.notOk(mayAsk(open, 0))
  t.notOk(mayAsk(open, 100_000), 'however long it takes')
  t.notOk(mayAsk(probed(open), 1000))
  t.equal(probed(closedBreaker), closedBreaker)
})

t.test('a probe that fails opens it for twice as long, up to half a minute', async (t) => {
  let breaker = open
  let now = 0
  const openMs: number[] = []
  for (let trip = 0; trip < 8; trip++) {
    if (breaker.kind !== 'open') throw new TypeError(breaker.kind)
    openMs.push(breaker.untilMs - now)
    now = breaker.untilMs
    breaker = afterProbe(probed(breaker), 'failed', now)
  }
  t.strictSame(openMs, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

t.test('only a request that succeeds makes the next opening short again', async (t) => {
  const twice = afterProbe(probed(open), 'failed', 1000)
  const healed = afterProbe(probed(twice), 'succeeded', 3000)
  t.ok(mayAsk(healed, 3000))
  t.strictSame(failed(healed, 4000, 4000, 4000), { kind: 'open', untilMs: 8000, trips: 3 })
  const answered = afterRequest(healed, succeeded, 3500)
  t.strictSame(failed(answered, 4000, 4000, 4000), { kind: 'open', untilMs: 5000, trips: 1 })
})

t.test('a request that was abandoned says nothing', async (t) => {
  const two = failed(closedBreaker, 0, 0)
  t.equal(afterRequest(two, abandoned, 1), two)
  t.equal(afterRequest(open, abandoned, 1), open)
})

t.test('a request from before it opened says something only where it succeeds', async (t) => {
  t.equal(afterRequest(open, down, 500), open)
  t.equal(afterRequest(open, failedFor('x'), 500), open)
  t.strictSame(afterRequest(open, succeeded, 500), closedBreaker)
  t.strictSame(afterRequest(probed(open), succeeded, 500), closedBreaker)
})

t.test('the result of a probe that a request outran changes nothing', async (t) => {
  t.equal(afterProbe(closedBreaker, 'failed', 1000), closedBreaker)
})

t.test('who asks for a pause is not asked before it ends, and then at once', async (t) => {
  const paused = afterRequest(closedBreaker, toldToWait(2000), 1000)
  t.equal(pauseMs(paused, 1500), 1500)
  t.notOk(mayAsk(paused, 2999))
  t.ok(mayAsk(paused, 3000))
  t.equal(paused.kind, 'closed', 'it is up')
  const longer = afterRequest(paused, toldToWait(5000), 1500)
  t.equal(pauseMs(afterRequest(longer, toldToWait(1000), 1600), 1600), 4900, 'the longest holds')
  t.equal(pauseMs(afterRequest(longer, succeeded, 1700), 1700), 4800, 'whoever is still answered')
})

t.test('nobody gets a pause of more than half a minute', async (t) => {
  t.equal(pauseMs(afterRequest(closedBreaker, toldToWait(3_600_000), 0), 0), 30_000)
  const paused = afterRequest(closedBreaker, toldToWait(30_000), 3_600_000)
  t.equal(pauseMs(paused, 0), 0, 'nor where the clock is put back')
})

t.test('one that is open and asks for a pause is up', async (t) => {
  const paused = afterRequest(probed(open), toldToWait(2000), 1000)
  t.notOk(mayAsk(paused, 2999))
  t.ok(mayAsk(paused, 3000))
})

t.test('a pause of no time is a failure like others', async (t) => {
  t.strictSame(
    afterRequest(closedBreaker, toldToWait(0), 5),
    afterRequest(closedBreaker, failedFor('x'), 5),
  )
})

t.test('whatever happens, an upstream is asked or probed again within half a minute', async () => {
  const anyResult = fc.oneof(
    fc.constantFrom(succeeded, down, down, abandoned),
    fc.constantFrom('a', 'b', 'c', 'd').map(failedFor),
    fc.integer({ min: 0, max: 10 ** 9 }).map(toldToWait),
  )
  const anyStep = fc.record({
    waitMs: fc.nat(40_000),
    result: anyResult,
    probe: fc.constantFrom('succeeded' as const, 'failed' as const),
  })
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      let breaker: Breaker = closedBreaker
      let now = 0
      for (const { waitMs, result, probe } of steps) {
        now += waitMs
        if (breaker.kind === 'open' && breaker.untilMs <= now) {
          breaker = afterProbe(probed(breaker), probe, now)
        }
        breaker = afterRequest(breaker, result, now)
        const isSoon =
          breaker.kind === 'open' ? breaker.untilMs <= now + 30_000 : mayAsk(breaker, now + 30_000)
        ok(isSoon)
        if (breaker.kind === 'closed') ok(breaker.failures.length < 3)
        if (result.kind === 'succeeded') ok(breaker.kind === 'closed')
      }
    }),
    { seed, numRuns: 500 },
  )
})
