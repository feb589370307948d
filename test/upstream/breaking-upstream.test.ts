import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parseDrvOutput } from '../../src/nix/drv-output.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import { type Asking, UpstreamError, type UpstreamErrorCode } from '../../src/ports/upstream.ts'
import { createBreakingUpstream } from '../../src/upstream/steady/breaking-upstream.ts'
import { createCircuit, type Probe } from '../../src/upstream/steady/circuit.ts'
import { createUpstreamHealth } from '../../src/upstream/steady/upstream-health.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createManualSchedule } from '../fakes/manual-schedule.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { must, pathHash } from '../nix/fixtures.ts'

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const hashes = ['0', '1', '2', '3', '4'].map((digit) => pathHash(digit.repeat(32)))
const output = must(parseDrvOutput(`sha256:${'0a'.repeat(32)}!out`))
const patient = new AbortController().signal
const elsewhere: Asking = { client: 'a client', isLastHope: false }
const lastHope: Asking = { client: 'a client', isLastHope: true }

const failing = (code: UpstreamErrorCode) => async () => {
  throw new UpstreamError(code, 'of a test')
}
const answering =
  (status: number, retryAfterMs: number | null = null) =>
  async () => {
    throw new UpstreamError('status', `status ${status}`, { status, retryAfterMs })
  }

function setUp({ isAlone = false } = {}) {
  const clock = createFixedClock()
  const log = createSilentLog()
  const { schedule, advance } = createManualSchedule(clock)
  const fake = createFakeUpstream('cache')
  const probes: Probe['result'][] = []
  const circuit = createCircuit(fake, {
    ...{ clock, log, schedule, probeMs: 60_000 },
    probed: ({ result }) => probes.push(result),
  })
  const upstream = createBreakingUpstream(fake, { circuit, clock, isAlone: () => isAlone })
  const health = createUpstreamHealth(() => new Map([['cache', [circuit]]]))
  /** How a request for a narinfo ends: `found`, `absent` or the error's code. */
  const ask = async (
    signal = patient,
    asking = elsewhere,
    about: StorePathHash | undefined = hash,
  ): Promise<string> => {
    try {
      return (await upstream.narinfo(about, signal, asking)) === null ? 'absent' : 'found'
    } catch (error) {
      return error instanceof UpstreamError ? error.code : 'aborted'
    }
  }
  const trip = async (t: Test): Promise<void> => {
    fake.answers.narinfo = failing('timeout')
    t.strictSame([await ask(), await ask(), await ask()], ['timeout', 'timeout', 'timeout'])
    delete fake.answers.narinfo
    fake.asked.length = 0
  }
  /** Lets a probe that became due end. */
  const probe = async (ms: number): Promise<void> => {
    advance(ms)
    await setImmediate()
  }
  return { clock, log, fake, upstream, health, ask, trip, advance, probe, probes }
}

t.test('after three failures it is not asked, and says so at once', async (t) => {
  const { fake, log, health, ask, trip } = setUp()
  await trip(t)
  t.equal(await ask(), 'breaker-open')
  t.strictSame(fake.asked, [])
  t.strictSame(log.named('upstream.down'), [
    { event: 'upstream.down', upstream: 'cache', forMs: 1000 },
  ])
  t.ok(health.isDown('cache'))
  t.ok(health.allDown())
  t.equal(health.state('cache'), 'open')
  t.notOk(health.isDown('import'), 'what it does not know is not down')
})

t.test('one upstream that is down takes its logs and realisations with it', async (t) => {
  const { upstream, fake, trip } = setUp()
  await trip(t)
  await t.rejects(upstream.buildLog('x.drv', patient), { code: 'breaker-open' })
  await t.rejects(upstream.realisation(output, patient), { code: 'breaker-open' })
  t.strictSame(fake.asked, [])
  t.equal(await upstream.nar('nar/x', patient), null, 'a NAR that was promised is still asked for')
})

t.test('a probe in the background closes it, and no request is needed for that', async (t) => {
  const { fake, log, health, ask, trip, probe } = setUp()
  await trip(t)
  await probe(999)
  t.strictSame(fake.asked, [])
  await probe(1)
  t.strictSame(fake.asked, [`narinfo ${hash}`], 'by what could not be told')
  t.equal(log.named('upstream.up').length, 1)
  t.equal(health.state('cache'), 'closed')
  t.equal(await ask(), 'absent')
})

t.test('a refusal is a definite answer to a probe, an outage is none', async (t) => {
  const { fake, health, trip, probe, probes } = setUp()
  await trip(t)
  fake.answers.narinfo = failing('connect')
  await probe(1000)
  fake.answers.cacheInfo = answering(503)
  await probe(2000)
  t.equal(health.state('cache'), 'open')
  fake.answers.narinfo = answering(403)
  await probe(3999)
  t.equal(fake.asked.length, 2)
  await probe(1)
  t.equal(health.state('cache'), 'closed')
  t.strictSame(probes, ['error', 'error', 'found'], 'each is told of')
})

t.test('what is broken for good keeps nobody from the rest', async (t) => {
  const { fake, health, ask, trip, probe } = setUp()
  await trip(t)
  fake.answers.narinfo = (about) => (about === hash ? failing('timeout')() : null)
  await probe(1000)
  t.equal(health.state('cache'), 'open')
  await probe(2000)
  t.strictSame(fake.asked, [`narinfo ${hash}`, 'nix-cache-info'])
  t.equal(health.state('cache'), 'closed')
  t.equal(await ask(patient, elsewhere, hashes[1]), 'absent')
})

t.test('while a probe runs nobody is let through, and nobody waits for it', async (t) => {
  const { fake, health, ask, trip, probe } = setUp()
  await trip(t)
  const answer = Promise.withResolvers<null>()
  fake.answers.narinfo = () => answer.promise
  await probe(1000)
  t.equal(health.state('cache'), 'probing')
  t.strictSame([await ask(), await ask()], ['breaker-open', 'breaker-open'])
  answer.resolve(null)
  await probe(0)
  t.equal(await ask(), 'absent')
})

t.test('one that is closed for good is probed no more', async (t) => {
  const { fake, upstream, trip, probe } = setUp()
  await trip(t)
  await upstream.close()
  await probe(60_000)
  t.strictSame(fake.asked, [])
})

t.test('a request from before it opened says something only where it succeeds', async (t) => {
  for (const result of ['failed', 'abandoned', 'succeeded'] as const) {
    const { fake, health, ask, trip } = setUp()
    const leaving = new AbortController()
    const early = Promise.withResolvers<null>()
    fake.answers.narinfo = () => early.promise
    const before = ask(leaving.signal)
    await trip(t)
    if (result === 'abandoned') leaving.abort()
    if (result === 'succeeded') early.resolve(null)
    else
      early.reject(result === 'failed' ? new UpstreamError('reset', 'late') : leaving.signal.reason)
    await before
    t.equal(health.isDown('cache'), result !== 'succeeded', result)
  }
})

t.test('where nobody else can answer, the question finds out at once', async (t) => {
  const { fake, health, log, ask, trip } = setUp()
  await trip(t)
  t.equal(await ask(patient, lastHope), 'absent')
  t.strictSame(fake.asked, [`narinfo ${hash}`])
  t.notOk(health.isDown('cache'))
  t.equal(log.named('upstream.up').length, 1)
})

t.test('who asks meanwhile waits for what the first one finds, then asks', async (t) => {
  const { fake, ask, trip } = setUp()
  await trip(t)
  const answer = Promise.withResolvers<null>()
  fake.answers.narinfo = () => answer.promise
  const all = [ask(patient, lastHope), ask(patient, lastHope), ask(patient, lastHope)]
  await setImmediate()
  t.equal(fake.asked.length, 1)
  t.equal(await ask(), 'breaker-open', 'who has others does not wait')
  answer.resolve(null)
  t.strictSame(await Promise.all(all), ['absent', 'absent', 'absent'])
  t.equal(fake.asked.length, 3)
})

t.test('where that fails all are answered at once, and nobody tries again so soon', async (t) => {
  const { clock, fake, ask, trip } = setUp()
  await trip(t)
  const answer = Promise.withResolvers<null>()
  fake.answers.narinfo = () => answer.promise
  const all = [ask(patient, lastHope), ask(patient, lastHope)]
  answer.reject(new UpstreamError('connect', 'of a test'))
  t.strictSame(await Promise.all(all), ['breaker-open', 'breaker-open'])
  clock.advance(299)
  t.equal(await ask(patient, lastHope), 'breaker-open')
  t.equal(fake.asked.length, 1)
  clock.advance(1)
  fake.answers.narinfo = () => null
  t.equal(await ask(patient, lastHope), 'absent')
})

t.test('who finds out asks once more where the upstream says that it cannot', async (t) => {
  const rows = [
    [answering(500), 'absent', 2],
    [answering(503, 2000), 'breaker-open', 1],
    [failing('connect'), 'breaker-open', 1],
  ] as const
  for (const [first, expected, asked] of rows) {
    const { fake, ask, trip } = setUp()
    await trip(t)
    fake.answers.narinfo = () => (fake.asked.length === 1 ? first() : null)
    t.equal(await ask(patient, lastHope), expected)
    t.equal(fake.asked.length, asked)
  }
})

t.test('where whoever finds out leaves, the next one does', async (t) => {
  const { fake, ask, trip } = setUp()
  await trip(t)
  const leaving = new AbortController()
  fake.answers.narinfo = (_hash, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(leaving.signal.reason as Error)
      })
    })
  const first = ask(leaving.signal, lastHope)
  const second = ask(patient, lastHope)
  fake.answers.narinfo = () => null
  leaving.abort()
  t.equal(await first, 'aborted')
  t.equal(await second, 'absent')
})

t.test('a black hole costs whoever has nobody else a second', async (t) => {
  const { fake, ask, trip } = setUp()
  // The deadline keeps no process alive.
  const alive = setInterval(() => undefined, 60_000)
  t.teardown(() => {
    clearInterval(alive)
  })
  await trip(t)
  fake.answers.narinfo = (_hash, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new UpstreamError('timeout', 'no answer in time'))
      })
    })
  t.equal(await ask(patient, lastHope), 'breaker-open')
})

t.test('where all are down logs and realisations find out as well', async (t) => {
  const { upstream, fake, trip } = setUp({ isAlone: true })
  await trip(t)
  t.equal(await upstream.realisation(output, patient), null)
  await trip(t)
  t.equal(await upstream.buildLog('x.drv', patient), null)
  t.strictSame(fake.asked, ['nix-cache-info', 'log x.drv'], 'by something small')
})

t.test('one object that fails opens nothing, three do', async (t) => {
  const { fake, ask } = setUp()
  const [one, two, three] = hashes
  fake.answers.narinfo = answering(500)
  for (let times = 0; times < 5; times += 1) t.equal(await ask(patient, elsewhere, one), 'status')
  t.equal(await ask(patient, elsewhere, two), 'status')
  t.equal(await ask(patient, elsewhere, three), 'status')
  t.equal(await ask(patient, elsewhere, one), 'breaker-open')
})

t.test('who asks for a pause gets it', async (t) => {
  const { clock, upstream, fake, log, health, ask } = setUp()
  fake.answers.narinfo = answering(429, 2000)
  t.equal(await ask(), 'status')
  fake.answers.narinfo = () => null
  t.equal(await ask(), 'breaker-open')
  t.ok(health.isDown('cache'))
  clock.advance(500)
  await t.rejects(upstream.narinfo(hash, patient, lastHope), {
    code: 'breaker-open',
    retryAfterMs: 1500,
  })
  clock.advance(1500)
  t.equal(await ask(), 'absent')
  t.equal(fake.asked.length, 2)
  t.strictSame(log.named('upstream.down'), [])
})

t.test('what became of NARs counts where it says that the host is down', async (t) => {
  const { health, fake, ask } = setUp()
  for (const code of ['status', 'too-large', 'url-refused', 'status'] as const) {
    health.failed('cache', code, code)
  }
  t.notOk(health.isDown('cache'))
  for (let times = 0; times < 5; times += 1) health.failed('cache', 'reset', 'one')
  health.failed('cache', 'timeout', 'two')
  t.notOk(health.isDown('cache'), 'a NAR that breaks off again and again counts once')
  health.succeeded('cache')
  health.failed('cache', 'reset', 'three')
  health.failed('cache', 'timeout', 'four')
  t.notOk(health.isDown('cache'), 'a NAR that came forgets the failures before it')
  health.failed('cache', 'connect', 'four')
  health.failed('nobody', 'connect', 'four')
  t.ok(health.isDown('cache'))
  t.equal(await ask(), 'breaker-open')
  t.strictSame(fake.asked, [])
})

t.test('an answer that is refused is an answer: it opens nothing', async (t) => {
  const { fake, ask } = setUp()
  for (const code of ['too-large', 'redirect-refused', 'url-refused', 'address-refused'] as const) {
    fake.answers.narinfo = failing(code)
    t.equal(await ask(), code)
  }
  t.equal(fake.asked.length, 4)
})

t.test('an answer between forgets the failures before it', async (t) => {
  const { fake, ask } = setUp()
  fake.answers.narinfo = failing('connect')
  t.strictSame([await ask(), await ask()], ['connect', 'connect'])
  delete fake.answers.narinfo
  t.equal(await ask(), 'absent')
  fake.answers.narinfo = failing('connect')
  t.strictSame([await ask(), await ask()], ['connect', 'connect'])
  delete fake.answers.narinfo
  t.equal(await ask(), 'absent')
})

t.test('who leaves says nothing of the upstream', async (t) => {
  const { fake, ask } = setUp()
  const left = AbortSignal.abort()
  fake.answers.narinfo = async (_hash, signal) => {
    signal.throwIfAborted()
    return null
  }
  for (let times = 0; times < 5; times++) t.equal(await ask(left), 'aborted')
  t.equal(await ask(), 'absent')
})
