import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { mock } from 'node:test'
import t from 'tap'
import { answerNarinfo } from '../../src/http/routes/narinfo-route.ts'
import type { Answered } from '../../src/ports/http-meter.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { readGauges, type ReadParts } from '../../src/read-gauges.ts'
import type { Gauges } from '../../src/telemetry/gauges.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { world } from '../fakes/substituter-world.ts'
import { claimFor, down, keys } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { documentedMetrics, parseMetrics } from '../lab/metrics-text.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir } from '../lab/weir-process.ts'
import { path, pathHash } from '../nix/fixtures.ts'

const gauges: Gauges = {
  version: '1.2.3',
  cache: () => ({ nars: 2, used: 30, limit: 100, pinned: 10, free: 50, minFree: 5 }),
  oldestUseMs: () => Promise.resolve(1_500),
  isCacheStoring: () => true,
  transfers: () => ({ running: 2, waiting: 1 }),
  ingestThreads: () => 4,
  isOffline: () => false,
  isPolicyEnforced: () => true,
  upstreams: () => ['a', 'b'],
  suspended: () => new Set(['b']),
  circuitState: () => 'closed',
  rules: () => [
    { name: 'all', wantsAgreement: false },
    { name: 'two', wantsAgreement: true },
  ],
}

const narinfo: Answered = {
  ...{ object: 'narinfo', result: 'hit', hash: pathHash('0'.repeat(32)), path: null },
  ...{ upstream: 'a', rule: 'all', reason: null, client: '192.0.2.1' },
}

type Metrics = ReturnType<typeof createMetrics>

function create(changes: Partial<Gauges> = {}): Metrics {
  return createMetrics({ ...gauges, ...changes }, { clock: createFixedClock() })
}

/** Each event once. */
function measureAll(metrics: Metrics): void {
  metrics.requested('narinfo', 200, 700, 0.0007)
  metrics.answered(narinfo)
  metrics.bodySent(narinfo, 500)
  metrics.answered({ ...narinfo, object: 'nar' })
  metrics.bodySent({ ...narinfo, object: 'nar' }, 9000)
  metrics.upstreamAnswered({ upstream: 'a', object: 'nar', result: 'found', seconds: 0.2 })
  metrics.upstreamRetried('a')
  metrics.absenceRemembered('a')
  metrics.claimJudged('a', 'trusted')
  metrics.badSignature('a')
  metrics.diverged({ rule: 'two', wantsAgreement: true })
  metrics.nameLied('a')
  metrics.wouldRefuse('no-trusted-signature')
  metrics.narFetched('a', 9000)
  metrics.narSourceFailed('a', 'reset')
  metrics.narReadAhead()
  metrics.narIngested('stored')
  metrics.storeFailed('ENOSPC')
  metrics.narEvicted(9000)
  metrics.verifyFailed('wrong-size')
  metrics.reloaded('refused')
}

t.test(
  'the documented metrics are those that are exposed, with their types and labels',
  async (t) => {
    const metrics = create()
    measureAll(metrics)
    const own = parseMetrics((await metrics.expose()).text).filter(({ name }) =>
      /^weir_/.test(name),
    )
    const plain = own.map(({ name, type, labels }) => ({ name, type, labels: labels.toSorted() }))
    const documented = (await documentedMetrics()).map(({ labels, ...rest }) => ({
      ...rest,
      labels: labels.toSorted(),
    }))
    const byName = (one: { name: string }, other: { name: string }): number =>
      one.name < other.name ? -1 : 1
    t.same(plain.toSorted(byName), documented.toSorted(byName))
    t.ok(own.every(({ series }) => series > 0))
  },
)

t.test('what only grows has its type and its text before anything happened', async (t) => {
  const { text } = await create().expose()
  const names = parseMetrics(text).map(({ name }) => name)
  for (const { name } of await documentedMetrics()) t.ok(names.includes(name), name)
})

t.test('what an alert waits for is 0 before its first time', async (t) => {
  const { text } = await create().expose()
  for (const line of [
    'weir_bad_signatures_total{upstream="b"} 0',
    'weir_lying_names_total{upstream="a"} 0',
    'weir_divergences_total{rule="all",agree="not-wanted"} 0',
    'weir_divergences_total{rule="two",agree="wanted"} 0',
    'weir_verify_failures_total{finding="nar-mismatch"} 0',
    'weir_store_failures_total{code="ENOSPC"} 0',
    'weir_reloads_total{result="refused"} 0',
  ]) {
    t.ok(text.includes(`${line}\n`), line)
  }
})

t.test(
  'an answer falls into the first bucket that it does not exceed, and all above it',
  async (t) => {
    const metrics = create()
    for (const seconds of [0.0004, 0.0005, 0.0006, 61]) {
      metrics.requested('narinfo', 200, 1, seconds)
    }
    const { text } = await metrics.expose()
    const bucket = (le: string) =>
      new RegExp(`weir_http_request_seconds_bucket{route="narinfo",le="${le}"} (\\d+)`).exec(
        text,
      )?.[1]
    t.same(
      [bucket('0.0005'), bucket('0.001'), bucket('60'), bucket('\\+Inf')],
      ['2', '3', '3', '4'],
    )
    t.match(text, /^weir_http_request_seconds_count\{route="narinfo"\} 4$/m)
    t.match(text, /^weir_http_request_seconds_sum\{route="narinfo"\} 61\.0015/m)
  },
)

t.test('a narinfo is counted by its rule, what was decided and why', async (t) => {
  const metrics = create()
  const rule = 'a "rule"'
  const reason = 'upstream-not-allowed'
  metrics.answered({ ...narinfo, rule })
  metrics.answered({ ...narinfo, result: 'miss', rule: null })
  metrics.answered({ ...narinfo, reason })
  metrics.answered({ ...narinfo, result: 'refused', reason })
  metrics.answered({ ...narinfo, result: 'absent', rule: null })
  metrics.answered({ ...narinfo, object: 'nar' })
  const { text } = await metrics.expose()
  t.same(
    text.split('\n').filter((line) => line.startsWith('weir_verdicts_total')),
    [
      String.raw`weir_verdicts_total{rule="a \"rule\"",verdict="trusted",reason=""} 1`,
      'weir_verdicts_total{rule="",verdict="trusted",reason=""} 1',
      'weir_verdicts_total{rule="all",verdict="would-refuse",reason="upstream-not-allowed"} 1',
      'weir_verdicts_total{rule="all",verdict="refused",reason="upstream-not-allowed"} 1',
    ],
  )
})

t.test('the last use of what goes first is read from the catalog, not at every look', async (t) => {
  const clock = createFixedClock()
  const catalog = openSqliteCatalog(':memory:')
  let reads = 0
  const counted: ReadParts['catalog'] = {
    leastRecentlyUsed(limit, after) {
      reads += 1
      return catalog.leastRecentlyUsed(limit, after)
    },
  }
  const { oldestUseMs } = readGauges('1', clock, () => ({ catalog: counted }) as ReadParts)
  t.same([await oldestUseMs(), await oldestUseMs()], [null, null])
  t.equal(reads, 1)
  const { key } = claimFor(Buffer.from('nar'))
  await catalog.put({
    ...{ key, upstream: 'a', claim: Buffer.of(), witnesses: [], verifiedCa: null, certainIn: null },
    ...{ fileBytes: 1, diskBytes: 1, fileHash: 'x', etag: '"x"', storedAtMs: 7, usedAtMs: 7 },
  })
  clock.advance(10_000)
  t.equal(await oldestUseMs(), 7)
  t.equal(reads, 2)
  await catalog.close()
})

t.test('10,000 paths make no more series than a few, however they were answered', async (t) => {
  const upstreams = ['a', 'b', 'c', 'd', 'e'] as const
  const metrics = create({ upstreams: () => upstreams })
  const nar = Buffer.from('nar')
  // A signature takes time: most paths are refused for want of one, or are not there.
  const signersOf = [[keys.a], [keys.b], [keys.stranger], [keys.a, keys.b]]
  const names = ['hello', 'two', 'secret', 'other']
  const made = await world(t, {
    upstreams: upstreams.map((name, index) =>
      createFakeUpstream(name, {
        narinfo(hash) {
          const number = Number(hash)
          if (number % 11 === 0) return name === 'e' ? down() : null
          if (number % 5 !== index) return null
          const signers = number % 20 === index ? signersOf[index % 4] : []
          const storePath = path(`${hash}-${names[number % 4] ?? ''}`)
          return claimFor(nar, { storePath, signers: signers ?? [] }).text
        },
      }),
    ),
    policy: {
      rules: [
        testRule({ name: 'hello', paths: ['hello*'], from: ['a', 'b'] }),
        testRule({ name: 'two', paths: ['two*'], agree: 2, onDivergence: 'refuse' }),
        testRule({ name: 'secret', paths: ['secret*'], signedBy: [publicKeyOf(keys.stranger)] }),
      ],
    },
    meter: metrics,
  })
  const deps = { ...made, meter: metrics, readAhead: { noted: () => undefined } }
  const hashOf = (number: number) => pathHash(String(number).padStart(32, '0'))
  // What a question to upstreams adds shows with the first thousand; to answer is all that the others add.
  for (let number = 0; number < 1000; number += 1) {
    const request = new IncomingMessage(new Socket())
    request.method = 'GET'
    const response = new ServerResponse(request)
    await answerNarinfo(deps, request, response, hashOf(number))
    metrics.requested('narinfo', response.statusCode, 600, 0.001)
  }
  for (let number = 1000; number < 10_000; number += 1) {
    metrics.answered({ ...narinfo, hash: hashOf(number), path: `${hashOf(number)}-x` })
    metrics.requested('narinfo', 200, 600, number / 10_000)
  }
  for (const upstream of upstreams) {
    for (const result of ['found', 'absent', 'error'] as const) {
      metrics.upstreamAnswered({ upstream, object: 'nar', result, seconds: 0.1 })
      metrics.upstreamAnswered({ upstream, object: 'log', result, seconds: 0.1 })
      metrics.upstreamAnswered({ upstream, object: 'probe', result, seconds: 0.1 })
    }
  }
  measureAll(metrics)
  const startedAt = performance.now()
  const exposed = parseMetrics((await metrics.expose()).text)
  const series = exposed.reduce((sum, metric) => sum + metric.series, 0)
  t.comment(`${series} series, ${(performance.now() - startedAt).toFixed(1)} ms`)
  t.ok(series <= 1500, `${series} series`)
  const answers = exposed.find(({ name }) => name === 'weir_narinfo_answers_total')?.series ?? 0
  t.ok(answers > 4, 'of several kinds')
})

t.test('the event loop is watched while there is something to do', async (t) => {
  const metrics = create()
  const delay = async (): Promise<number> => {
    const { text } = await metrics.expose()
    return Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1])
  }
  const hold = async (): Promise<void> => {
    await setTimeout(5)
    const begun = performance.now()
    while (performance.now() - begun < 30);
    await setTimeout(5)
  }
  await hold()
  t.equal(await delay(), 0, 'nobody asked anything')
  metrics.requested('narinfo', 200, 600, 0.001)
  await hold()
  t.ok((await delay()) >= 0.02)
  t.equal(await delay(), 0, 'what was given out counts no more')
})

t.test('a time in which the event loop was not watched is no delay', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => {
    mock.timers.reset()
  })
  const metrics = create()
  metrics.requested('narinfo', 200, 600, 0.001)
  await setTimeout(10)
  mock.timers.tick(5000)
  mock.timers.tick(5000)
  await setTimeout(500)
  metrics.requested('narinfo', 200, 600, 0.001)
  await setTimeout(20)
  const { text } = await metrics.expose()
  const max = Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1])
  t.ok(max > 0 && max < 0.4, `${max} s`)
})

t.test('a Weir that is told not to measure says so at /metrics', async (t) => {
  const key = 'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='
  const upstreams = [{ name: 'a', url: 'http://127.0.0.1:9', keys: [key] }]
  await using weir = await startWeir({
    config: { upstreams, extra: { server: { metrics: false } } },
  })
  const { status, body } = await rawGet(`${weir.url}/metrics`)
  t.equal(status, 404)
  t.match(body.toString(), /\[server\] metrics is false/)
  t.equal((await rawGet(`${weir.url}/nix-cache-info`)).status, 200)
})
