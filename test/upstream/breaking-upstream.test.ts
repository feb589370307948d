import t, { type Test } from 'tap'
import { parseDrvOutput } from '../../src/nix/drv-output.ts'
import { UpstreamError, type UpstreamErrorCode } from '../../src/ports/upstream.ts'
import { createBreakingUpstream } from '../../src/upstream/breaking-upstream.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { must, pathHash } from '../nix/fixtures.ts'

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const output = must(parseDrvOutput(`sha256:${'0a'.repeat(32)}!out`))
const patient = new AbortController().signal

const failing = (code: UpstreamErrorCode) => async () => {
  throw new UpstreamError(code, 'of a test')
}

function setUp() {
  const clock = createFixedClock()
  const log = createSilentLog()
  const fake = createFakeUpstream('cache')
  const upstream = createBreakingUpstream(fake, { clock, log })
  /** How a request for a narinfo ends: `found`, `absent` or the error's code. */
  const ask = async (signal = patient): Promise<string> => {
    try {
      return (await upstream.narinfo(hash, signal)) === null ? 'absent' : 'found'
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
  return { clock, log, fake, upstream, ask, trip }
}

t.test('after three failures it is not asked, and says so at once', async (t) => {
  const { fake, log, ask, trip } = setUp()
  await trip(t)
  t.equal(await ask(), 'breaker-open')
  t.strictSame(fake.asked, [])
  t.strictSame(log.named('upstream.down'), [
    { event: 'upstream.down', upstream: 'cache', forMs: 1000 },
  ])
})

t.test('one upstream that is down takes its logs and realisations with it', async (t) => {
  const { upstream, fake, trip } = setUp()
  await trip(t)
  await t.rejects(upstream.buildLog('x.drv', patient), { code: 'breaker-open' })
  await t.rejects(upstream.realisation(output, patient), { code: 'breaker-open' })
  t.strictSame(fake.asked, [])
  t.equal(await upstream.nar('nar/x', patient), null, 'a NAR that was promised is still asked for')
})

t.test('a probe that succeeds closes it, and is told', async (t) => {
  const { clock, fake, log, ask, trip } = setUp()
  await trip(t)
  clock.advance(1000)
  t.strictSame([await ask(), await ask()], ['absent', 'absent'])
  t.equal(fake.asked.length, 2)
  t.equal(log.named('upstream.up').length, 1)
})

t.test('while the probe runs nobody else is let through', async (t) => {
  const { clock, fake, ask, trip } = setUp()
  await trip(t)
  clock.advance(1000)
  const answer = Promise.withResolvers<null>()
  fake.answers.narinfo = () => answer.promise
  const probe = ask()
  t.strictSame([await ask(), await ask()], ['breaker-open', 'breaker-open'])
  answer.resolve(null)
  t.equal(await probe, 'absent')
  t.equal(await ask(), 'absent')
})

for (const result of ['failed', 'abandoned'] as const) {
  t.test(`a request from before it opened that ${result} is not the probe's result`, async (t) => {
    const { clock, fake, ask, trip } = setUp()
    const leaving = new AbortController()
    const early = Promise.withResolvers<null>()
    fake.answers.narinfo = () => early.promise
    const before = ask(leaving.signal)
    await trip(t)
    clock.advance(1000)
    const answer = Promise.withResolvers<null>()
    fake.answers.narinfo = () => answer.promise
    const probe = ask()
    if (result === 'abandoned') leaving.abort()
    early.reject(result === 'failed' ? new UpstreamError('reset', 'late') : leaving.signal.reason)
    await before
    clock.advance(1000)
    t.equal(await ask(), 'breaker-open', 'the probe still runs')
    answer.resolve(null)
    t.equal(await probe, 'absent')
    t.equal(await ask(), 'absent')
  })
}

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
