import t from 'tap'
import { parseDrvOutput } from '../../src/nix/drv-output.ts'
import { UpstreamError, type UpstreamErrorCode } from '../../src/ports/upstream.ts'
import { createLimitedUpstream } from '../../src/upstream/steady/limited-upstream.ts'
import { retryAfterOf } from '../../src/upstream/http/retry-after.ts'
import { createRetryingUpstream } from '../../src/upstream/steady/retrying-upstream.ts'
import type { Timing } from '../../src/upstream/timing.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { must, pathHash } from '../nix/fixtures.ts'

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const output = must(parseDrvOutput(`sha256:${'0a'.repeat(32)}!out`))
const patient = new AbortController().signal

function setUp() {
  const clock = createFixedClock()
  const pauses: number[] = []
  const timing: Timing = {
    random: () => 0.5,
    pause: async (ms, signal) => {
      signal.throwIfAborted()
      pauses.push(ms)
      clock.advance(ms)
    },
  }
  const fake = createFakeUpstream('cache')
  let retries = 0
  const retried = (): void => {
    retries += 1
  }
  const upstream = createRetryingUpstream(fake, { clock, timing, narinfoMs: 10_000, retried })
  return { clock, pauses, fake, upstream, retries: () => retries }
}

/** Throws so many times, then answers. */
function failing(times: number, error: () => UpstreamError) {
  let left = times
  return () => {
    left -= 1
    if (left >= 0) throw error()
    return null
  }
}
const code = (of: UpstreamErrorCode) => () => new UpstreamError(of, 'of a test')
const status = (of: number, retryAfterMs: number | null) => () =>
  new UpstreamError('status', 'of a test', { status: of, retryAfterMs })

t.test('what fails for a moment is asked again, whatever it is, but for NARs', async (t) => {
  const { fake, upstream, pauses, retries } = setUp()
  fake.answers.cacheInfo = failing(2, code('reset'))
  fake.answers.narinfo = failing(2, code('timeout'))
  fake.answers.realisation = failing(2, code('connect'))
  fake.answers.buildLog = failing(2, status(502, null))
  fake.answers.nar = failing(1, code('reset'))
  t.equal(await upstream.cacheInfo(patient), null)
  t.equal(await upstream.narinfo(hash, patient), null)
  t.equal(await upstream.realisation(output, patient), null)
  t.equal(await upstream.buildLog('x.drv', patient), null)
  t.equal(fake.asked.length, 12)
  t.equal(retries(), 8)
  t.strictSame(pauses.slice(0, 2), [50, 100])
  await t.rejects(upstream.nar('nar/x', patient), { code: 'reset' })
})

t.test('the third failure is told', async (t) => {
  const { fake, upstream } = setUp()
  fake.answers.narinfo = failing(9, code('connect'))
  await t.rejects(upstream.narinfo(hash, patient), { code: 'connect' })
  t.equal(fake.asked.length, 3)
})

t.test('what is refused is told at once', async (t) => {
  const { fake, upstream } = setUp()
  for (const refused of ['too-large', 'url-refused', 'breaker-open', 'overloaded'] as const) {
    fake.answers.narinfo = failing(1, code(refused))
    await t.rejects(upstream.narinfo(hash, patient), { code: refused })
  }
  t.equal(fake.asked.length, 4)
})

t.test('the time of all tries together is bounded', async (t) => {
  const { clock, fake, upstream } = setUp()
  fake.answers.narinfo = () => {
    clock.advance(5000)
    throw new UpstreamError('timeout', 'of a test')
  }
  await t.rejects(upstream.narinfo(hash, patient), { code: 'timeout' })
  t.equal(fake.asked.length, 2)
})

t.test('a pause that it asks for is kept where it fits, else it is given up at once', async (t) => {
  const { fake, upstream, pauses } = setUp()
  fake.answers.narinfo = failing(1, status(429, 3000))
  t.equal(await upstream.narinfo(hash, patient), null)
  t.strictSame(pauses, [3050])
  fake.answers.narinfo = failing(1, status(503, 60_000))
  await t.rejects(upstream.narinfo(hash, patient), { code: 'status' })
  t.equal(fake.asked.length, 3)
})

t.test('who leaves during a pause is not kept', async (t) => {
  const clock = createFixedClock()
  const leaving = new AbortController()
  const fake = createFakeUpstream('cache', { narinfo: failing(9, code('connect')) })
  const timing: Timing = {
    random: () => 0,
    pause: async (_ms, signal) => {
      leaving.abort()
      signal.throwIfAborted()
    },
  }
  const upstream = createRetryingUpstream(fake, { clock, timing, narinfoMs: 10_000 })
  await t.rejects(upstream.narinfo(hash, leaving.signal), { code: 'connect' })
  t.equal(fake.asked.length, 1)
})

t.test('with everything failing, requests are little more than questions', async (t) => {
  const { fake, upstream } = setUp()
  fake.answers.narinfo = failing(Infinity, code('connect'))
  const questions = 1000
  for (let each = 0; each < questions; each += 1) {
    await t.rejects(upstream.narinfo(hash, patient), { code: 'connect' })
  }
  t.ok(fake.asked.length <= 1.2 * questions, `${fake.asked.length} requests`)
})

t.test(
  'Retry-After is read in seconds and as a date, by the clock of whoever wrote it',
  async (t) => {
    const nowMs = Date.parse('2026-11-26T12:00:00Z')
    const read = (text: string, date?: string): number | null =>
      retryAfterOf({ 'retry-after': text, ...(date === undefined ? {} : { date }) }, nowMs)
    t.equal(read('0'), 0)
    t.equal(read(' 120 '), 120_000)
    t.equal(read('Thu, 26 Nov 2026 12:00:07 GMT'), 7000)
    t.equal(read('Thu Nov 26 12:00:07 2026'), 7000)
    t.equal(read('Thursday, 26-Nov-26 12:00:07 GMT'), 7000)
    t.equal(read('Thu, 26 Nov 2026 11:00:00 GMT'), 0, 'what is past is now')
    const ahead = 'Thu, 26 Nov 2026 13:00:00 GMT'
    t.equal(read('Thu, 26 Nov 2026 13:00:07 GMT', ahead), 7000, 'by its own clock')
    for (const bad of ['', 'soon', '-1', '1.5', '1e3', '99999999999', '2026-11-26T12:00:07Z']) {
      t.equal(read(bad), null, bad)
    }
    t.equal(retryAfterOf({}, nowMs), null)
  },
)

t.test('narinfos wait for their turn with those of other clients, and not for ever', async (t) => {
  const fake = createFakeUpstream('cache')
  const answer = Promise.withResolvers<null>()
  fake.answers.narinfo = () => answer.promise
  const upstream = createLimitedUpstream(fake, { maxNarinfos: 1, narinfoMs: 60_000, queueMs: 20 })
  // What ends the waiting keeps no process alive.
  const alive = setInterval(() => undefined, 60_000)
  const ask = (client: string) =>
    upstream.narinfo(hash, patient, { client, isLastHope: false }).then(
      () => 'absent',
      (error: unknown) => (error instanceof UpstreamError ? error.code : 'aborted'),
    )
  const first = ask('a')
  t.strictSame(await Promise.all([ask('a'), ask('b')]), ['overloaded', 'overloaded'])
  clearInterval(alive)
  const next = ask('b')
  answer.resolve(null)
  t.strictSame([await first, await next], ['absent', 'absent'])
  t.equal(fake.asked.length, 2)
})
