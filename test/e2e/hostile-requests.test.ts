import { mkdtemp, rm, stat } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { askMetric } from '../lab/ask-weir.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { documentedMetrics, parseMetrics } from '../lab/metrics-text.ts'
import { rawGet, rawSend } from '../lab/raw-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(300_000)
const lab = await prepareLab()
const upstream = await startUpstream({ root: lab.caches.xz })
const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
const weir = await startWeir({ config })
t.teardown(async () => {
  await weir[Symbol.asyncDispose]()
  await upstream.close()
})
const narinfoPath = `/${lab.paths.dep.slice('/nix/store/'.length).slice(0, 32)}.narinfo`

t.test('a Host that is not its own is refused in words, on every route', async (t) => {
  for (const path of ['/nix-cache-info', narinfoPath, '/metrics', '/healthz']) {
    const { status, body } = await rawGet(`${weir.url}${path}`, {
      headers: { host: 'evil.example' },
    })
    t.equal(status, 421, path)
    t.match(body.toString(), /evil\.example.*\[server\] hosts/)
  }
  for (const host of ['localhost', `127.0.0.1:${weir.port}`, '[::1]:1', 'LOCALHOST:80']) {
    t.equal((await rawGet(`${weir.url}/healthz`, { headers: { host } })).status, 200, host)
  }
})

t.test('another site that asks through a browser is refused', async (t) => {
  const refused = [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://evil.example' }]
  for (const headers of refused) {
    t.equal((await rawGet(`${weir.url}${narinfoPath}`, { headers })).status, 403)
  }
  const own = { 'sec-fetch-site': 'same-origin', origin: weir.url }
  t.equal((await rawGet(`${weir.url}${narinfoPath}`, { headers: own })).status, 200)
})

t.test('uploads are refused before they are sent', async (t) => {
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
    const { status } = await rawGet(`${weir.url}/nix-cache-info`, { method })
    t.equal(status, 405, method)
  }
  const reply = await rawSend(
    weir.port,
    'PUT /nar/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n',
    { until: (text) => text.includes('\r\n\r\n') },
  )
  t.match(reply.text, /^HTTP\/1\.1 405 /)
})

t.test('no path leads out of the cache folder', async (t) => {
  const paths = [
    '/../../etc/passwd',
    '/nar/../../../etc/passwd',
    '/nar/%2e%2e/%2e%2e/etc/passwd',
    '/nar/..%2fcatalog.sqlite',
    '/.weir-lock',
    '/.partial/',
    '/nar/',
    '//etc/passwd',
    '/log/../signing-key',
    '/log/%2e%2e%2fsigning-key',
    `/${'0'.repeat(32)}.narinfo/../x`,
    '/nar/\\..\\x',
    '/realisations/sha256:00!out.doi',
    '/build-trace-v2/x.drv/out.doi',
    '/debuginfo/0000000000000000000000000000000000000000.debug',
  ]
  for (const path of paths) {
    const { status } = await rawGet(weir.url, { path })
    t.equal(status, 404, path)
  }
})

t.test('what is no HTTP ends the connection, and nothing else', async (t) => {
  for (const bytes of ['\0\0\0\0', 'GET\r\n\r\n', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`]) {
    await rawSend(weir.port, bytes)
  }
  t.equal((await rawGet(`${weir.url}/healthz`)).status, 200)
})

t.test('ranges, tags and HEAD of a stored NAR', async (t) => {
  const narinfo = (await rawGet(`${weir.url}${narinfoPath}`)).body.toString()
  const url = `${weir.url}/${/^URL: (.*)$/m.exec(narinfo)?.[1] ?? ''}`
  const head = await rawGet(url, { method: 'HEAD' })
  t.equal(head.status, 200, 'HEAD before it was fetched')
  t.notOk(
    upstream.requests.some(({ path }) => path.startsWith('/nar/')),
    'fetches nothing',
  )
  const whole = await rawGet(url)
  await weir.waitForLog('nar.stored')
  const { etag } = whole.headers
  t.match(etag, /^".+"$/)
  t.equal(whole.headers['accept-ranges'], 'bytes')
  t.equal(whole.headers['content-encoding'], undefined)
  const part = async (range: string, more = {}) => rawGet(url, { headers: { range, ...more } })
  const middle = await part('bytes=10-19')
  t.equal(middle.status, 206)
  t.equal(middle.headers['content-range'], `bytes 10-19/${whole.length}`)
  t.same(middle.body, whole.body.subarray(10, 20))
  t.same((await part('bytes=10-')).body, whole.body.subarray(10))
  t.same((await part('bytes=-5')).body, whole.body.subarray(-5))
  t.equal((await part(`bytes=${whole.length}-`)).status, 416)
  t.equal((await part('bytes=10-', { 'if-range': '"other"' })).status, 200)
  t.equal((await part('bytes=10-', { 'if-range': etag })).status, 206)
  const headAfter = await rawGet(url, { method: 'HEAD' })
  t.equal(headAfter.headers.etag, etag)
  t.equal(headAfter.headers['content-length'], String(whole.length))
})

t.test('a build log passes as text', async (t) => {
  const narinfo = (
    await rawGet(`${upstream.url}/${lab.paths.top.slice(11, 43)}.narinfo`)
  ).body.toString()
  const deriver = /^Deriver: (.*)$/m.exec(narinfo)?.[1] ?? ''
  const log = await rawGet(`${weir.url}/log/${deriver}`)
  t.equal(log.status, 200)
  t.match(log.headers['content-type'], /^text\/plain/)
  t.equal(log.headers['content-encoding'], undefined)
  t.match(log.body.toString(), /\S/)
  t.equal((await rawGet(`${weir.url}/log/${'0'.repeat(32)}-no.drv`)).status, 404)
})

t.test('metrics have finite labels, and count what happened', async (t) => {
  const text = (await rawGet(`${weir.url}/metrics`)).body.toString()
  t.match(text, /^weir_http_requests_total\{route="narinfo",status="200"\} \d+$/m)
  t.match(text, /^weir_nar_answers_total\{result="hit",upstream="lab"\} \d+$/m)
  t.match(text, /^weir_upstream_fetched_bytes_total\{upstream="lab"\} [1-9]\d*$/m)
  t.match(text, /^weir_cache_bytes [1-9]\d*$/m)
  t.match(text, /^weir_upstream_requests_total\{upstream="lab",object="nar",result="found"\} 1$/m)
  t.match(text, /^weir_upstream_seconds_count\{upstream="lab",object="nar",result="found"\} 1$/m)
  t.match(text, /^weir_upstream_requests_total\{upstream="lab",object="log",result="found"\} 1$/m)
  t.match(text, /^weir_nars_ingested_total\{result="stored"\} 1$/m)
  t.match(text, /^weir_cache_oldest_use_timestamp_seconds \d{10}/m)
  t.match(text, /^weir_verdicts_total\{rule="",verdict="trusted",reason=""\} [1-9]\d*$/m)
  t.notMatch(text, /nix\/store|[0-9a-z]{32}/, 'no paths or hashes')
  const own = parseMetrics(text).filter(({ name }) => name.startsWith('weir_'))
  const documented = await documentedMetrics()
  t.same(
    own.map(({ name, type }) => `${name} ${type}`).sort(),
    documented.map(({ name, type }) => `${name} ${type}`).sort(),
    'docs/metrics.md has them all, and no others',
  )
})

t.test('the bytes of NARs that were sent are those that clients took', async (t) => {
  const before = await askMetric(weir, 'weir_nar_sent_bytes_total{result="hit",upstream="lab"}')
  const narinfo = (await rawGet(`${weir.url}${narinfoPath}`)).body.toString()
  const url = `${weir.url}/${/^URL: (.*)$/m.exec(narinfo)?.[1] ?? ''}`
  const whole = await rawGet(url)
  const part = await rawGet(url, { headers: { range: 'bytes=3-9' } })
  const after = await askMetric(weir, 'weir_nar_sent_bytes_total{result="hit",upstream="lab"}')
  t.equal(after - before, whole.length + part.length)
})

t.test('the control socket is its owner’s alone, and tells the status', async (t) => {
  const socketPath = join(weir.stateDir, 'control.sock')
  t.equal((await stat(socketPath)).mode & 0o777, 0o600)
  const status = await new Promise<Record<string, unknown>>((resolve, reject) => {
    httpRequest({ socketPath, path: '/status' }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => {
        resolve(JSON.parse(text) as Record<string, unknown>)
      })
    })
      .on('error', reject)
      .end()
  })
  t.match(status, { address: weir.url, upstreams: ['lab'] })
})

t.test('a second Weir on the same folders is refused in words', async (t) => {
  await t.rejects(
    startWeir({ config, cacheDir: weir.cacheDir, stateDir: weir.stateDir }),
    /another weir uses/,
  )
  t.equal((await rawGet(`${weir.url}/healthz`)).status, 200, 'the first goes on')
})

t.test('a Unix socket is served like a port', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-socket-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const socketPath = join(dir, 'weir.sock')
  const extra = { server: { listen: `unix:${socketPath}` } }
  await using other = await startWeir({ config: { ...config, extra } })
  const status = await new Promise((resolve, reject) => {
    httpRequest({ socketPath, path: narinfoPath }, (response) => {
      resolve(response.statusCode)
      response.resume()
    })
      .on('error', reject)
      .end()
  })
  t.equal(status, 200)
  t.equal(await other.stop(), 0)
})
