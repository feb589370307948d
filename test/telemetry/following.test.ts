import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { noTracer } from '../../src/ports/tracer.ts'
import { openTracer } from '../../src/telemetry/open-tracer.ts'
import { redact } from '../../src/telemetry/redact.ts'
import { parseTraceparent } from '../../src/telemetry/traceparent.ts'
import { weir as runWeir } from '../cli/run-weir.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

const lab = await prepareLab()
const hash = lab.paths.dep.slice('/nix/store/'.length, '/nix/store/'.length + 32)

/** A span as OTLP has it in JSON, as far as it matters here. */
type SentSpan = {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: readonly {
    readonly key: string
    readonly value: Readonly<Record<string, unknown>>
  }[]
}

type Sent = {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[]
  }[]
}

/** A collector that keeps the spans that it is sent. */
async function startCollector() {
  const spans: SentSpan[] = []
  const paths = new Set<string | undefined>()
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      paths.add(request.url)
      const { resourceSpans } = JSON.parse(body) as Sent
      spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((s) => s.spans)))
      response.end('{}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ...{ spans, paths },
    url: `http://127.0.0.1:${port}/v1/traces`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

t.test(
  'a request is followed through Weir, under the trace and the id that its client gave it',
  async (t) => {
    await using collector = await startCollector()
    await using upstream = await startUpstream({
      root: lab.caches.xz,
      faults: [{ path: /^\/x{32}/, action: { kind: 'status', status: 404 } }],
    })
    const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
    const extra = { traces: { endpoint: collector.url } }
    await using weir = await startWeir({ config: { upstreams, extra } })
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const spanId = '00f067aa0ba902b7'
    const headers = { traceparent: `00-${traceId}-${spanId}-01`, 'x-request-id': 'build-17.a' }
    const narinfo = await fetch(`${weir.url}/${hash}.narinfo`, { headers })
    t.equal(narinfo.headers.get('x-request-id'), 'build-17.a')
    const url = /^URL: (.*)$/m.exec(await narinfo.text())?.[1] ?? ''
    await (await fetch(`${weir.url}/${url}`, { headers })).arrayBuffer()
    t.equal(await weir.stop(), 0, 'and what is still to be sent is sent at the end')

    t.same([...collector.paths], ['/v1/traces'])
    const ours = collector.spans.filter((span) => span.traceId === traceId)
    const named = (name: string) => ours.filter((span) => span.name === name)
    const [asked] = named('GET narinfo')
    t.equal(asked?.parentSpanId, spanId)
    t.match(asked?.attributes, [
      { key: 'http.request.method', value: { stringValue: 'GET' } },
      { key: 'http.route', value: { stringValue: 'narinfo' } },
      { key: 'http.response.status_code', value: { intValue: 200 } },
    ])
    t.equal(named('ask upstream')[0]?.parentSpanId, asked?.spanId)
    t.equal(named('fetch NAR')[0]?.parentSpanId, named('GET nar')[0]?.spanId)
    for (const span of ours) t.not(span.status.code, 2, span.name)

    const logged = weir.logs.filter(({ request }) => request === 'build-17.a')
    const events = logged.map(({ event }) => event)
    t.ok(events.includes('request') && events.includes('claim.trusted'), events.join(' '))
  },
)

t.test('what fails is a span that says why, and every answer has an id of its own', async (t) => {
  await using collector = await startCollector()
  await using upstream = await startUpstream({
    root: lab.caches.xz,
    faults: [{ path: /narinfo$/, action: { kind: 'status', status: 500 } }],
  })
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  const extra = { traces: { endpoint: collector.url } }
  await using weir = await startWeir({ config: { upstreams, extra } })
  const ids = new Set<string | null>()
  for (const given of [undefined, 'not plain: é', 'x'.repeat(65)]) {
    const headers = given === undefined ? {} : { 'x-request-id': encodeURI(given) }
    const { status, headers: got } = await fetch(`${weir.url}/${hash}.narinfo`, { headers })
    t.equal(status, 503)
    t.match(got.get('x-request-id'), /^[0-9a-f]{12}-\w+$/)
    ids.add(got.get('x-request-id'))
  }
  t.equal(ids.size, 3)
  t.equal(await weir.stop(), 0)
  const failed = collector.spans.filter(({ status }) => status.code === 2)
  t.match(
    failed
      .map(({ name, status }) => [name, status.message])
      .find(([name]) => name === 'ask upstream'),
    ['ask upstream', /^status: .*500/],
  )
  t.ok(failed.some(({ name, status }) => name === 'GET narinfo' && status.message === 'status 503'))
})

t.test('how much is logged is changed while Weir runs', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  const extra = { log: { level: 'info', format: 'json' } }
  await using weir = await startWeir({ config: { upstreams, extra } })
  const using = ['--config', weir.configFile]
  const requests = () => weir.logs.filter(({ event }) => event === 'request').length
  t.same(await runWeir('log', ...using), { code: 0, stdout: 'info\n', stderr: '' })
  await fetch(`${weir.url}/nix-cache-info`)
  t.equal(requests(), 0)
  t.same(await runWeir('log', 'debug', ...using), { code: 0, stdout: 'debug\n', stderr: '' })
  await fetch(`${weir.url}/nix-cache-info`)
  await weir.waitForLog('request')
  t.match(await runWeir('log', 'loud', ...using), {
    code: 2,
    stderr: /"loud" is no level: there are trace, debug, info/,
  })
  t.equal(await weir.stop(), 0)
  t.match(await runWeir('log', ...using), { code: 1, stderr: /no weir runs on/ })
})

t.test('without an endpoint nothing is traced, and nothing is loaded for it', async (t) => {
  await using resources = new AsyncDisposableStack()
  t.equal(await openTracer({ endpoint: null, sample: 100 }, '1', resources), noTracer)
})

t.test('a traceparent is taken as its specification has it', (t) => {
  const [trace, span] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
  const good = { traceId: trace, spanId: span }
  t.same(parseTraceparent(`00-${trace}-${span}-01`), { ...good, traceFlags: 1 })
  t.same(parseTraceparent(`00-${trace}-${span}-00`), { ...good, traceFlags: 0 })
  t.same(parseTraceparent(`01-${trace}-${span}-01-more`), { ...good, traceFlags: 1 })
  for (const wrong of [
    '',
    `00-${trace}-${span}`,
    `00-${trace}-${span}-01-more`,
    `ff-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
  ]) {
    t.equal(parseTraceparent(wrong), null, wrong)
  }
  t.end()
})

t.test('secrets are told by where they stand', (t) => {
  const cases: Readonly<Record<string, string>> = {
    'authorization: Bearer abcdef123456': 'authorization: Bearer [redacted]',
    '"Basic dXNlcjpwYXNzd29yZA=="': '"Basic [redacted]"',
    'https://ada:pass@cache.test/x': 'https://[redacted]@cache.test/x',
    '/x?X-Amz-Signature=abc&y=1': '/x?X-Amz-Signature=[redacted]&y=1',
    '/x?token=abc': '/x?token=[redacted]',
    'https://cache.test/a@b?key=k': 'https://cache.test/a@b?key=[redacted]',
    'a basic thing, and the bearer of it': 'a basic thing, and the bearer of it',
    '/nix/store/abc-token-1.0': '/nix/store/abc-token-1.0',
  }
  for (const [text, clean] of Object.entries(cases)) t.equal(redact(text), clean)
  const startedAt = performance.now()
  redact(`/?${'token'.repeat(3200)}`)
  t.ok(performance.now() - startedAt < 100, 'a long query of a client holds nobody up')
  t.end()
})

t.test('a collector that takes spans and never answers does not hold up the end', async (t) => {
  const server = createServer(() => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const resources = new AsyncDisposableStack()
  const endpoint = `http://127.0.0.1:${port}/v1/traces`
  const tracer = await openTracer({ endpoint, sample: 100 }, '1.0.0', resources)
  await tracer.span({ name: 'GET narinfo', kind: 'server' }, () => Promise.resolve())
  const startedAt = performance.now()
  await resources.disposeAsync()
  t.ok(performance.now() - startedAt < 6000)
  server.closeAllConnections()
  server.close()
})
