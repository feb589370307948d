import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import type { z } from 'zod'
import { createRecorder } from '../../src/activity/recorder.ts'
import { createSearches } from '../../src/activity/searches.ts'
import { shownUrl } from '../../src/activity/shown-url.ts'
import { actionAnswers, pinLineSchema } from '../../src/http/api/action-schemas.ts'
import { apiPaths } from '../../src/http/api/api-endpoints.ts'
import { readingSchemas } from '../../src/http/api/api-schemas.ts'
import { explanationSchema } from '../../src/http/api/explanation-schema.ts'
import { openApiDocument } from '../../src/http/api/openapi.ts'
import { parseStorePathHash } from '../../src/nix/store-path.ts'
import type { Answered } from '../../src/ports/http-meter.ts'
import { takesActions } from '../../src/settings/admin-api.ts'
import { TransferProgress } from '../../src/substituter/fetching/transfer-progress.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { rawGet, type RawResponse } from '../lab/raw-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const dep = basename(lab.paths.dep)
const hash = dep.slice(0, 32)
const stepMs = 5000

function answered(change: Partial<Answered>): Answered {
  const known = parseStorePathHash(hash)
  if (known === null) throw new Error('the lab has paths')
  return {
    ...{ object: 'narinfo', result: 'hit', hash: known, path: dep, upstream: 'a' },
    ...{ rule: null, reason: null, client: '192.0.2.1', ...change },
  }
}

t.test('decisions are numbered, the last 500 are kept, the latest first', (t) => {
  const clock = createFixedClock(1000)
  const recorder = createRecorder(clock)
  t.strictSame(recorder.decisions(0, 10), [])
  recorder.answered(answered({ object: 'nar', result: 'refused', upstream: '', reason: 'why' }))
  t.strictSame(recorder.decisions(0, 10), [
    {
      ...{ id: 1, atMs: 1000, object: 'nar', result: 'refused', hash, path: dep },
      ...{ upstream: null, rule: null, reason: 'why', client: '192.0.2.1' },
    },
  ])
  for (let more = 0; more < 600; more += 1) {
    clock.advance(1)
    recorder.answered(answered({}))
  }
  const ids = (after: number, limit: number) =>
    recorder.decisions(after, limit).map(({ id, atMs }) => [id, atMs])
  t.strictSame(ids(0, 2), [
    [601, 1600],
    [600, 1599],
  ])
  t.equal(ids(0, 1000).length, 500)
  t.strictSame(ids(0, 1000).at(-1), [102, 1101])
  t.strictSame(ids(600, 10), [[601, 1600]])
  t.strictSame(ids(601, 10), [])
  t.strictSame(recorder.totals().nars.refused, 1)
  t.strictSame(recorder.totals().narinfos.hit, 600)
  t.end()
})

t.test('traffic is told in whole steps, the last half hour of them', (t) => {
  const clock = createFixedClock(1000 * stepMs)
  const recorder = createRecorder(clock)
  t.strictSame(recorder.traffic().timesMs, [], 'the first step runs still')
  for (let index = 0; index < 100; index += 1) {
    recorder.answered(answered({}))
    recorder.requested('narinfo', 200, 50, index < 90 ? 0.001 : 0.1)
  }
  recorder.answered(answered({ object: 'nar' }))
  for (const result of ['miss', 'absent'] as const) {
    recorder.answered(answered({ object: 'nar', result }))
  }
  recorder.requested('nar', 200, 5000, 3)
  recorder.narFetched('a', 2500)
  clock.advance(stepMs)
  const [median = 0, p95 = 0] = [
    recorder.traffic().narinfoMedianMs[0] ?? undefined,
    recorder.traffic().narinfoP95Ms[0] ?? undefined,
  ]
  t.match(recorder.traffic(), {
    ...{ stepMs, timesMs: [1001 * stepMs], narinfosPerSecond: [20], narsPerSecond: [0.6] },
    ...{ sentBytesPerSecond: [2000], fetchedBytesPerSecond: [500], narHitRatio: [0.5] },
  })
  t.ok(Math.abs(median - 1) < 0.1, String(median))
  t.ok(Math.abs(p95 - 100) < 10, String(p95))
  clock.advance(2 * stepMs)
  t.strictSame(recorder.traffic().narinfosPerSecond, [20, 0, 0], 'nothing is a step as well')
  t.strictSame(recorder.traffic().narHitRatio, [0.5, null, null])
  t.strictSame(recorder.traffic().narinfoP95Ms.slice(1), [null, null])
  clock.advance(1000 * stepMs)
  const late = recorder.traffic()
  t.equal(late.timesMs.length, 360)
  t.ok(late.narinfosPerSecond.every((rate) => rate === 0))
  clock.advance(-500 * stepMs)
  t.doesNotThrow(() => {
    recorder.answered(answered({}))
  }, 'a clock may be set back')
  t.match(readingSchemas.Traffic.safeParse(recorder.traffic()), { success: true })
  t.end()
})

t.test('of an upstream the last hundred answers are timed, and errors counted', (t) => {
  const recorder = createRecorder(createFixedClock())
  const none = { requests: 0, errors: 0, fetchedBytes: 0, medianMs: null, p95Ms: null }
  t.strictSame(recorder.upstream('a'), none)
  const answer = (seconds: number, result: 'found' | 'error') => {
    recorder.upstreamAnswered({ upstream: 'a', object: 'narinfo', result, seconds })
  }
  for (let index = 0; index < 50; index += 1) answer(9, 'found')
  for (let index = 1; index <= 100; index += 1) answer(index / 1000, 'found')
  answer(30, 'error')
  recorder.narFetched('a', 7)
  t.match(recorder.upstream('a'), {
    ...{ requests: 151, errors: 1, fetchedBytes: 7, medianMs: 50, p95Ms: 95 },
  })
  t.strictSame(recorder.upstream('b'), none)
  t.end()
})

t.test('a NAR on its way has a rate, and readers until they leave', (t) => {
  const progress = new TransferProgress()
  t.equal(progress.bytesPerSecond(0), 0)
  const leave = ['one', 'other', 'one'].map((client) => progress.joined(client))
  t.equal(progress.readers, 3)
  t.strictSame(progress.clients, ['one', 'other'])
  leave[0]?.()
  leave[0]?.()
  t.equal(progress.readers, 2, 'who leaves twice left once')
  leave[2]?.()
  t.strictSame(progress.clients, ['other'])
  for (let second = 100; second < 110; second += 1) progress.fetched('a', 1000, second * 1000)
  t.equal(Math.round(progress.bytesPerSecond(109_999)), 1000)
  t.equal(progress.fetchedBytes, 10_000)
  t.equal(progress.bytesPerSecond(200_000), 0, 'what stands still has none')
  progress.fetched('b', 5, 200_000)
  t.strictSame([progress.upstream, progress.fetchedBytes], ['b', 5], "another upstream's file")
  t.end()
})

t.test('an upstream’s URL is shown without what is secret', (t) => {
  t.equal(shownUrl('https://u:p@cache.example/a?token=x#y'), 'https://cache.example/a')
  t.equal(shownUrl('s3://bucket?region=eu&profile=x'), 's3://bucket')
  t.equal(shownUrl('file:///mnt/secret'), 'file:///…')
  t.end()
})

t.test('admin actions are taken where Weir listens for its own machine, unless told', (t) => {
  const tcp = (host: string) => ({ kind: 'tcp', host, port: 1 }) as const
  const unix = { kind: 'unix', path: '/run/weir' } as const
  const taken = (adminApi: 'loopback' | 'on' | 'off') =>
    [unix, tcp('127.0.0.1'), tcp('::1'), tcp('0.0.0.0'), tcp('192.0.2.1')].map((listen) =>
      takesActions({ listen, adminApi }),
    )
  t.strictSame(taken('loopback'), [true, true, true, false, false])
  t.strictSame(taken('on'), [true, true, true, true, true])
  t.strictSame(taken('off'), [false, false, false, false, false])
  t.end()
})

t.test('every route is in the OpenAPI document, and all that it refers to', (t) => {
  const document = openApiDocument()
  const paths = document['paths'] as Readonly<Record<string, object>>
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => [method, path]),
  )
  t.strictSame(
    documented.toSorted(),
    apiPaths()
      .map((each) => [...each])
      .toSorted(),
  )
  const text = JSON.stringify(document)
  for (const [, name = ''] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    t.hasProp((document['components'] as { readonly schemas: object }).schemas, name)
  }
  t.notMatch(text, /"additionalProperties":false/, 'fields may be added')
  t.end()
})

/** A running Weir, asked with and without its token. */
async function ask(weir: WeirProcess) {
  const token = (await readFile(join(weir.stateDir, 'admin-token'), 'utf8')).trim()
  const bearer = { authorization: `Bearer ${token}` }
  const json = { 'content-type': 'application/json' }
  return {
    token,
    get: (path: string, headers = {}) => rawGet(`${weir.url}/api/v1/${path}`, { headers }),
    getAsAdmin: (path: string) => rawGet(`${weir.url}/api/v1/${path}`, { headers: bearer }),
    post: (path: string, body: unknown, headers = {}) =>
      rawGet(`${weir.url}/api/v1/${path}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { ...json, ...bearer, ...headers },
      }),
  }
}

function valueOf({ body }: RawResponse): unknown {
  return JSON.parse(body.toString())
}

function problem(t: Test, answer: RawResponse, status: number, sentence: RegExp): void {
  t.equal(answer.status, status, answer.body.toString())
  t.match(valueOf(answer), { error: sentence })
  t.equal(answer.headers['cache-control'], 'no-store')
}

/** Parses an answer by its schema, in which nothing is left out and nothing more. */
function fits<T>(t: Test, schema: z.ZodType<T>, answer: RawResponse): T {
  t.equal(answer.status, 200)
  t.match(answer.headers, { 'content-type': 'application/json', 'cache-control': 'no-store' })
  return schema.parse(valueOf(answer))
}

t.test('what a running Weir does is seen by everybody, and who asks by its operator', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  await using weir = await startWeir({ config: { upstreams } })
  const { token, get, getAsAdmin } = await ask(weir)
  const narinfo = await rawGet(`${weir.url}/${hash}.narinfo`)
  const gate = upstream.hold({ path: /^\/nar\// })
  const nar = rawGet(`${weir.url}/${/^URL: (.*)$/m.exec(narinfo.body.toString())?.[1] ?? ''}`)
  await gate.reached()

  const { transfers } = fits(t, readingSchemas.Transfers, await get('transfers'))
  t.match(transfers, [{ path: dep, hash, upstream: 'lab', fetchedBytes: 0, readers: 1 }])
  t.ok((transfers[0]?.expectedBytes ?? 0) > 0)
  t.notOk(transfers[0]?.clients)
  t.match(valueOf(await getAsAdmin('transfers')), { transfers: [{ clients: ['127.0.0.1'] }] })
  gate.open()
  t.equal((await nar).status, 200)
  t.strictSame(valueOf(await get('transfers')), { transfers: [] }, 'it has come')

  const { decisions } = fits(t, readingSchemas.Decisions, await get('decisions'))
  t.match(decisions, [
    { id: 2, object: 'nar', result: 'miss', path: dep, upstream: 'lab' },
    { id: 1, object: 'narinfo', result: 'miss', path: dep, upstream: 'lab' },
  ])
  t.notMatch(JSON.stringify(decisions), 'client')
  t.match(valueOf(await getAsAdmin('decisions?after=1&limit=5')), {
    decisions: [{ id: 2, client: '127.0.0.1' }],
  })
  for (const q of ['', 'dep', 'd*p', '???', hash, lab.paths.dep]) {
    // It is answered before it is on disk.
    let found = fits(t, readingSchemas.Paths, await get(`paths?q=${encodeURIComponent(q)}`))
    while (found.paths.length === 0) {
      found = fits(t, readingSchemas.Paths, await get(`paths?q=${encodeURIComponent(q)}`))
    }
    t.match(found, { paths: [{ hash, path: dep, package: 'dep', upstreams: ['lab'] }], next: null })
  }
  t.strictSame(valueOf(await get('paths?q=de')), valueOf(await get('paths?q=dep')))
  t.strictSame(valueOf(await get('paths?q=hello')), { paths: [], next: null })

  const overview = fits(t, readingSchemas.Overview, await get('overview'))
  t.match(overview, {
    ...{ network: 'online', policy: { enforce: true }, cache: { nars: 1, isStoring: true } },
    upstreams: [{ name: 'lab', url: upstream.url, circuit: 'closed', requests: 2, errors: 0 }],
    totals: { narinfos: { miss: 1 }, nars: { miss: 1 } },
  })
  t.equal(overview.clientLines[0], `substituters = ${weir.url}`)
  t.equal(overview.totals.fetchedBytes, overview.upstreams[0]?.fetchedBytes)
  t.ok(overview.totals.fetchedBytes > 0 && overview.totals.sentBytes > 0)
  fits(t, readingSchemas.Traffic, await get('traffic'))
  fits(t, readingSchemas.Policy, await get('policy'))
  const told = fits(t, explanationSchema, await get(`explain/${hash}`))
  t.match(told.upstreams[0]?.claim?.signatures, [{ result: 'vouches' }], 'signatures are public')
  fits(t, explanationSchema, await getAsAdmin(`explain/${hash}`))
  t.match(valueOf(await get('openapi.json')), { openapi: '3.1.0' })

  for (const path of ['overview', 'traffic', 'decisions', 'paths', 'policy', `explain/${hash}`]) {
    const text = (await getAsAdmin(path)).body.toString()
    for (const secret of [token, weir.cacheDir, weir.stateDir]) {
      t.notOk(text.includes(secret), `${path} keeps ${secret}`)
    }
  }
})

t.test('what is asked wrongly is told in a sentence', async (t) => {
  const upstreams = [{ name: 'lab', url: 'http://127.0.0.1:9', keys: [lab.publicKey] }]
  const options = { cacheDir: join(workFolder(t), 'cache'), stateDir: join(workFolder(t), 'state') }
  await using weir = await startWeir({ config: weirConfig({ ...options, upstreams }) })
  const { get, getAsAdmin, post } = await ask({ ...weir, ...options })
  const wrong = { authorization: 'Bearer x' }
  for (const [path, sentence] of [
    ['decisions?limit=0', /^limit: a whole number from 1 to 500$/],
    ['decisions?limit=501', /^limit: /],
    ['decisions?after=-1', /^after: a whole number/],
    ['decisions?after=1&after=2', /^"after": given twice$/],
    ['decisions?x=1', /^"x": not a parameter/],
    ['paths?limit=1001', /^limit: /],
    ['paths?after=x', /^after: the `next` of an answer$/],
    [`paths?q=${'x'.repeat(301)}`, /^q: at most 300/],
    ['overview?x', /^"x": not a parameter/],
  ] as const) {
    problem(t, await get(path), 400, sentence)
  }
  problem(t, await get('nothing'), 404, /openapi/)
  problem(t, await get('explain/x'), 404, /openapi/)
  problem(t, await get('overview', wrong), 401, /not the admin token/)
  problem(t, await get(`explain/${hash}?live`), 401, /needs the admin token/)
  const posted = await post('overview', {})
  problem(t, posted, 405, /GET, HEAD/)
  t.equal(posted.headers.allow, 'GET, HEAD')
  const got = await get('reload')
  problem(t, got, 405, /POST/)
  t.equal(got.headers.allow, 'POST')

  const bodies: Readonly<Record<string, readonly [right: object, wrong: object, why: RegExp]>> = {
    recall: [{ package: 'xz', reason: 'CVE' }, { package: 'xz' }, /reason: found nothing/],
    lift: [{ package: 'xz' }, { hash: 'x' }, /hash: found "x"/],
    forget: [{ hash }, { hash: 'x' }, /^hash: 32 characters/],
    unpin: [{ hash }, {}, /^hash: 32 characters/],
    'upstreams/suspend': [{ upstream: 'lab', why: 'test' }, { upstream: 'lab' }, /^why: a reason/],
    'upstreams/resume': [{ upstream: 'lab' }, { upstream: 'x' }, /^there is no upstream "x"/],
    reload: [{}, { x: 1 }, /^x: not known here$/],
  }
  const shortNames: Readonly<Record<string, keyof typeof actionAnswers>> = {
    'upstreams/suspend': 'suspend',
    'upstreams/resume': 'resume',
  }
  for (const [path, [right, mistaken, why]] of Object.entries(bodies)) {
    problem(t, await post(path, right, { authorization: '' }), 401, /needs the admin token/)
    problem(t, await post(path, right, wrong), 401, /not the admin token/)
    problem(t, await post(path, mistaken), 400, why)
    const name = shortNames[path] ?? (path as keyof typeof actionAnswers)
    fits(t, actionAnswers[name], await post(path, right))
  }
  problem(t, await post('pin', { hash }), 400, /cannot be pinned/)
  problem(t, await post('forget', '{'), 400, /^that is not JSON$/)
  problem(t, await post('forget', '[]'), 400, /^the request: /)
  problem(t, await post('forget', 'null'), 400, /^the request: /)
  problem(t, await post('recall', 'null'), 400, /^the recall/)
  problem(t, await post('forget', { hash }, { 'content-type': 'text/plain' }), 415, /JSON/)
  problem(t, await post('forget', 'x'.repeat(70_000)), 413, /65536 bytes/)
  t.match(
    weir.logs.filter(({ event }) => event === 'admin.action').map(({ action }) => action),
    ['recall', 'recall', 'lift'],
  )
  t.match(
    weir.logs.find(({ event, action }) => event === 'admin.action' && action === 'suspend'),
    { client: '127.0.0.1', asked: /"lab"/ },
  )

  const server = { listen: '127.0.0.1:0', page: false, admin_api: 'off' }
  await writeFile(weir.configFile, weirConfig({ ...options, upstreams, extra: { server } }))
  fits(t, actionAnswers.reload, await post('reload', {}))
  for (const path of ['overview', 'traffic', 'transfers', 'decisions', 'paths', 'policy']) {
    problem(t, await get(path), 401, /\[server\] page is false/)
    t.equal((await getAsAdmin(path)).status, 200)
  }
  t.equal((await get(`explain/${hash}`)).status, 200, 'why is for everybody')
  t.equal((await get('openapi.json')).status, 200)
  problem(t, await post('reload', {}), 403, /\[server\] admin_api/)
})

t.test('a pin tells of each path that is fetched', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  await using weir = await startWeir({ config: { upstreams } })
  const { post } = await ask(weir)
  const top = basename(lab.paths.top)
  const answer = await post('pin', { hash: top.slice(0, 32) })
  t.match(answer.headers, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  const lines = answer.body.toString().trim().split('\n')
  const parsed = lines.map((line) => pinLineSchema.parse(JSON.parse(line)))
  t.match(parsed[0], { item: { path: top, isNew: true, paths: 2, missing: [] } })
  t.match(parsed.slice(1, -1), [{ item: { kind: 'stored', upstream: 'lab' } }])
  t.strictSame(parsed.at(-1), { end: true })
})

t.test(
  'why an upstream could not tell is told to clients without files of the machine',
  async (t) => {
    const missing = join(workFolder(t), 'no-such-token')
    const upstreams = [
      { name: 'lab', url: 'http://127.0.0.1:9', keys: [lab.publicKey], token_file: missing },
    ]
    await using weir = await startWeir({ config: { upstreams } })
    for (const path of [`/${hash}.narinfo`, `/log/${hash}-x.drv`]) {
      const { status, body } = await rawGet(`${weir.url}${path}`)
      t.equal(status, 503, path)
      t.match(String(body), 'see the log of Weir')
      t.notMatch(String(body), 'no-such-token')
    }
  },
)

t.test('who searches much does not keep others waiting for all of it', async (t) => {
  const order: string[] = []
  const search = createSearches({
    find: () => Promise.resolve([]),
    search: () => Promise.resolve({ found: [], next: null }),
  })
  const leaving = new AbortController()
  const ask = async (client: string, { signal } = new AbortController()): Promise<void> => {
    await search({ text: 'x', after: null, limit: 1 }, signal, client)
    order.push(client)
  }
  const all = [ask('a'), ask('a'), ask('a'), ask('a', leaving), ask('a'), ask('b')]
  leaving.abort()
  const results = await Promise.allSettled(all)
  t.strictSame(order, ['a', 'a', 'b', 'a', 'a'])
  t.equal(results[3]?.status, 'rejected', 'who left waits no more')
})
