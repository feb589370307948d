/** Sources that could not tell, and when they are asked again. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { nextRound } from '../../src/ingest/next-round.ts'
import { createOutages } from '../../src/ingest/outages.ts'
import { createRetryBudget, noRetries } from '../../src/ingest/retry-budget.ts'
import { UpstreamError, type UpstreamBody } from '../../src/ports/upstream.ts'
import { bodyOf, encodeNar, smallNar } from '../fakes/encode-nar.ts'
import {
  failureCodes,
  type FileJob,
  type Give,
  jobFor,
  runIngest,
  type TestSource,
} from '../fakes/ingest-run.ts'
import { again, bigNar, brokenOff, fails, gives, inTurn, isSame } from '../fakes/ingest-sources.ts'

const file = join(t.testdir(), 'nar.zst')

t.test('sources that could not tell are asked again, up to three times in all', async (t) => {
  const nar = bigNar
  const good = (): UpstreamBody => bodyOf(nar)
  const busy = fails('status', 'busy', { status: 503 })
  for (const [name, error] of Object.entries({
    connect: fails('connect', 'refused'),
    timeout: fails('timeout', 'too late'),
    reset: () => brokenOff(nar, 1000),
    'status 408': fails('status', 'status 408', { status: 408 }),
    'status 429': fails('status', 'status 429', { status: 429 }),
    'status 503': busy,
  })) {
    const deps = again()
    const give = inTurn(error, error, good)
    const run = await runIngest(jobFor(nar, file), [{ compression: 'none', give }], {
      retries: deps,
    })
    t.equal(run.outcome.kind, 'verified', name)
    t.same(deps.pauses, [100, 200], 'after longer and longer pauses')
    const never = again()
    const down = [{ give: error }, { give: () => null }, { give: busy }]
    const failed = await runIngest(jobFor(nar, file), down, { retries: never })
    t.equal(failed.outcome.kind, 'failed')
    const code = name.split(' ')[0]
    const asked = [code, 'absent', 'status', code, 'status', code, 'status']
    t.same(failureCodes(failed), asked, 'in order, and who has no such NAR once')
    t.equal(never.pauses.length, 2)
  }
})

t.test('what asking again would not change is not asked for again', async (t) => {
  const hopeless: readonly Give[] = [
    () => null,
    () => bodyOf(Buffer.from('no NAR')),
    fails('status', 'status 403', { status: 403 }),
    fails('url-refused', 'elsewhere'),
    fails('status', 'in an hour', { status: 503, retryAfterMs: 3_600_000 }),
  ]
  const deps = again()
  const sources = hopeless.map((give) => ({ give }))
  const run = await runIngest(jobFor(bigNar, file), sources, { retries: deps })
  t.equal(run.outcome.kind, 'failed')
  t.equal(failureCodes(run).length, hopeless.length)
  t.same(deps.pauses, [])
})

t.test('who leaves in a pause between two rounds is not waited for', async (t) => {
  const leaving = new AbortController()
  const timing = {
    random: () => 1,
    pause: (_: number, signal: AbortSignal) => {
      leaving.abort(new Error('left'))
      return setTimeout(60_000, undefined, { signal })
    },
  }
  const deps = { ...again(), timing }
  const sources = [{ give: fails('connect', 'refused') }]
  await t.rejects(
    runIngest(jobFor(bigNar, file), sources, { signal: leaving.signal, retries: deps }),
  )
})

t.test('a source that comes back goes on where it broke off', async (t) => {
  const job = jobFor(bigNar, file, { verifyFirst: false })
  const uninterrupted = await runIngest(job, [gives('none', bigNar)])
  for (const encoding of ['none', 'xz', 'zstd'] as const) {
    const encoded = await encodeNar(encoding, bigNar)
    for (const cut of [encoded.length >> 1, encoded.length - 1]) {
      const give = inTurn(
        () => brokenOff(encoded, cut),
        fails('connect', 'away'),
        () => bodyOf(encoded),
      )
      const run = await runIngest(job, [{ compression: encoding, give }], { retries: again() })
      t.equal(run.outcome.kind, 'verified', `${encoding}, ${cut}`)
      t.ok(isSame(run.file, uninterrupted.file))
      t.ok(run.released.length > 1)
    }
  }
  const other = Buffer.from(bigNar)
  other[10] = (other[10] ?? 0) ^ 1
  const give = inTurn(
    () => brokenOff(bigNar, 2_000_000),
    () => bodyOf(other),
  )
  const run = await runIngest(job, [{ compression: 'none', give }], { retries: again() })
  t.equal(run.outcome.kind, 'failed', 'with other bytes it does not')
  t.same(failureCodes(run), ['reset', 'prefix-mismatch'])
})

t.test('an outage is not multiplied by those who come again', async (t) => {
  const deps = again()
  let opened = 0
  const give: Give = () => {
    opened += 1
    throw new UpstreamError('connect', 'refused')
  }
  for (let job = 0; job < 100; job += 1) {
    await runIngest(jobFor(smallNar, file), [{ give }], { retries: deps })
  }
  t.ok(opened <= 100 + 10 + 10, `100 NARs asked it ${opened} times`)
  const budget = createRetryBudget()
  const spent = Array.from({ length: 12 }, () => budget.spend('a')).filter((isSpent) => isSpent)
  t.equal(spent.length, 10)
  t.ok(budget.spend('b'), 'each upstream has its own')
  for (let asked = 0; asked < 9; asked += 1) budget.earn('a')
  t.notOk(budget.spend('a'))
  for (let asked = 0; asked < 2; asked += 1) budget.earn('a')
  t.ok(budget.spend('a'))
})

t.test('who asks for patience is asked in a round after it', async (t) => {
  const waiting = [
    { source: 'patience', afterMs: 900 },
    { source: 'any time', afterMs: 0 },
  ]
  t.same(
    nextRound(waiting, 1, () => 1),
    {
      pauseMs: 200,
      sources: ['any time'],
      later: [{ source: 'patience', afterMs: 700 }],
    },
  )
  t.same(
    nextRound(waiting.slice(0, 1), 2, () => 0),
    {
      ...{ pauseMs: 900, sources: ['patience'], later: [] },
    },
  )
  t.equal(
    nextRound(waiting, 3, () => 0),
    null,
  )
  t.equal(
    nextRound([], 1, () => 0),
    null,
  )
})

t.test('a server that is started anew is waited for, where nobody else can be asked', async (t) => {
  const encoded = await encodeNar('xz', smallNar)
  let nowMs = 0
  let asked = 0
  let backAtMs = 3000
  const refusal = { value: true }
  const source: TestSource = {
    give: () => {
      asked += 1
      if (nowMs >= backAtMs) return bodyOf(encoded)
      throw new UpstreamError('connect', 'refused', { isRefusal: refusal.value })
    },
  }
  const outages = createOutages(() => nowMs)
  const pause = (ms: number): Promise<void> => {
    nowMs += ms
    return Promise.resolve()
  }
  const retries = { timing: { pause, random: () => 0.5 }, budget: noRetries, outages }
  const run = (sources: readonly TestSource[]) =>
    runIngest(jobFor(smallNar, file), sources, { retries })

  t.equal((await run([source])).outcome.kind, 'verified')
  t.same([asked, nowMs], [16, 3000])

  const other: TestSource = { give: () => bodyOf(encoded) }
  backAtMs = Infinity
  asked = 0
  t.match((await run([source, other])).outcome, { kind: 'verified', upstream: 'second' })
  t.equal(asked, 1, 'others are asked at once')

  const failed = await run([source])
  t.same([failed.outcome.kind, failureCodes(failed)], ['failed', ['connect']])
  t.equal(nowMs, 13_000, 'ten seconds after the first refusal it is down')
  asked = 0
  await run([source])
  t.same([asked, nowMs], [1, 13_000], 'and costs nothing more')

  backAtMs = 0
  t.equal((await run([source])).outcome.kind, 'verified')
  backAtMs = nowMs + 100
  t.equal((await run([source])).outcome.kind, 'verified', 'the next time it is waited for again')

  backAtMs = Infinity
  asked = 0
  refusal.value = false
  t.equal((await run([source])).outcome.kind, 'failed')
  t.equal(asked, 1, 'where the host is not there, nobody is waited for')
})

t.test('who waits for a server holds up no others', async (t) => {
  const encoded = await encodeNar('xz', smallNar)
  let nowMs = 0
  const outages = createOutages(() => nowMs)
  const refuse = (): never => {
    throw new UpstreamError('connect', 'refused', { isRefusal: true })
  }
  const gone: TestSource = { give: refuse }
  let pauses = 0
  const pause = (ms: number): Promise<void> => {
    pauses += 1
    nowMs += ms
    // Another NAR of the same upstream comes: that does not make this one worth waiting for longer.
    outages.ended('first')
    return Promise.resolve()
  }
  const retries = { timing: { pause, random: () => 0.5 }, budget: noRetries, outages }
  const run = (sources: readonly TestSource[], changes: Partial<FileJob> = {}) =>
    runIngest(jobFor(smallNar, file, changes), sources, { retries })

  t.equal((await run([gone])).outcome.kind, 'failed')
  t.equal(nowMs, 10_000)

  pauses = 0
  t.equal((await run([gone], { mayWait: false })).outcome.kind, 'failed')
  t.equal((await run([gone], { isTriedOnce: true })).outcome.kind, 'failed')
  t.equal(pauses, 0, 'where others may still promise it')

  const places = [outages.enter(), outages.enter()]
  t.equal((await run([gone])).outcome.kind, 'failed')
  t.equal(pauses, 0, 'where two wait already')
  for (const place of places) place?.[Symbol.dispose]()

  let asked = 0
  const busy: TestSource = {
    give: () => {
      asked += 1
      if (asked === 1) throw new UpstreamError('status', 'status 503', { status: 503 })
      return bodyOf(encoded)
    },
  }
  const budget = createRetryBudget()
  const run2 = await runIngest(jobFor(smallNar, file), [busy, gone], {
    retries: { ...retries, budget },
  })
  t.match(run2.outcome, { kind: 'verified', upstream: 'first' })
  t.equal(pauses, 1, 'who may be asked again comes first')
})

t.test('a slump late in what was handed out is gone on from', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  let asked = 0
  const source: TestSource = {
    give: async function* () {
      asked += 1
      if (asked > 1) {
        yield* bodyOf(encoded)
        return
      }
      yield* bodyOf(encoded.subarray(0, encoded.length >> 1), [50_000])
      throw new UpstreamError('too-slow', 'slower than 1024 bytes a second')
    },
  }
  const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [source], {
    retries: again(),
  })
  t.equal(run.outcome.kind, 'verified')
  t.equal(asked, 2)
  asked = 0
  const small = await runIngest(jobFor(bigNar, file), [source], { retries: again() })
  t.equal(small.outcome.kind, 'failed', 'nothing is lost where nothing was handed out')
})
