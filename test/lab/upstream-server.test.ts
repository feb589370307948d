import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import type { FaultAction } from './fault.ts'
import { createGate } from './gate.ts'
import { rawGet, rawSend, type RawGetOptions } from './raw-client.ts'
import { startUpstream } from './upstream-server.ts'

const root = t.testdir({ 'nix-cache-info': 'StoreDir: /nix/store\n', nar: {} })
const size = 3_000_000
const file = Buffer.alloc(size, 'some bytes of a NAR, ')
await mkdir(join(root, 'nar'), { recursive: true })
await writeFile(join(root, 'nar', 'x.nar'), file)
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const upstream = await startUpstream({ root, etags: true })
t.teardown(() => upstream.close())
t.afterEach(() => {
  upstream.faults.clear()
  upstream.requests.splice(0)
})
const url = `${upstream.url}/nar/x.nar`
const get = (options?: RawGetOptions) => rawGet(url, options)
const getWith = async (action: FaultAction, options?: RawGetOptions) => {
  const remove = upstream.faults.add({ path: /^\/nar\//, action })
  const answer = await get(options)
  remove()
  return answer
}
const allOf = { status: 200, complete: true, length: size, sha256: sha256(file) }

t.test('it serves files whole and by ranges, and keeps a log', async (t) => {
  t.match(await get(), { ...allOf, headers: { 'content-length': String(size) } })
  const head = await get({ method: 'HEAD' })
  t.match(head, { status: 200, length: 0, headers: { 'content-length': String(size) } })
  const range = (value: string) => get({ headers: { range: value } })
  const middle = await range('bytes=10-19')
  t.match(middle, { status: 206, headers: { 'content-range': `bytes 10-19/${size}` } })
  t.ok(middle.body.equals(file.subarray(10, 20)))
  t.match(await range('bytes=2999990-'), { status: 206, length: 10, complete: true })
  t.match(await range('bytes=-5'), { status: 206, length: 5 })
  t.match(await range(`bytes=${size}-`), {
    status: 416,
    headers: { 'content-range': `bytes */${size}` },
  })
  const { etag = '' } = head.headers
  t.match(await get({ headers: { 'if-none-match': etag } }), { status: 304, length: 0 })
  t.match(await rawGet(`${upstream.url}/none`), { status: 404 })
  t.match(await get({ path: '/../../../etc/passwd' }), { status: 404 })
  t.match(await get({ method: 'PUT', body: 'x' }), { status: 405 })
  const [first, second] = upstream.requests
  t.match(first, { method: 'GET', path: '/nar/x.nar', status: 200, bytesSent: size })
  t.match(second, { method: 'HEAD', status: 200, bytesSent: 0, state: 'complete' })
})

t.test('`only` hides files', async (t) => {
  await using partial = await startUpstream({ root, only: (path) => path === 'nix-cache-info' })
  t.match(await rawGet(`${partial.url}/nix-cache-info`), { status: 200 })
  t.match(await rawGet(`${partial.url}/nar/x.nar`), { status: 404 })
})

t.test('it can be stopped in the middle of a transfer and started again', async (t) => {
  const gate = createGate()
  const action = { kind: 'gateAfterBytes', bytes: 5000, gate } as const
  const broken = getWith(action)
  await gate.reached()
  await upstream.stop()
  t.match(await broken, { status: 200, length: 5000, complete: false })
  await t.rejects(get(), { code: 'ECONNREFUSED' })
  await upstream.start()
  t.match(await get(), allOf)
})

t.test('the raw client hangs up, reads slowly, keeps connections, writes anything', async (t) => {
  const half = await get({ hangUpAfterBytes: 500_000 })
  t.ok(!half.complete && half.length >= 500_000 && half.length < size)
  await upstream.waitFor((request) => request.state === 'aborted')
  const seen: number[] = []
  t.match(await get({ pace: async (bytes) => seen.push(bytes) }), allOf)
  t.equal(seen.at(-1), size)
  await t.rejects(get({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  upstream.requests.splice(0)
  await Promise.all([get({ agent }), get({ agent })])
  t.equal(new Set(upstream.requests.map((request) => request.peerPort)).size, 1)
  agent.destroy()
  const info = await readFile(join(root, 'nix-cache-info'), 'latin1')
  const lines = 'GET /nix-cache-info HTTP/1.1\r\nHost: x\r\n'
  const closed = await rawSend(upstream.port, `${lines}Connection: close\r\n\r\n`)
  t.ok(closed.closedByPeer && closed.text.endsWith(info))
  const open = await rawSend(upstream.port, `${lines}\r\n`, {
    until: (text) => text.endsWith(info),
  })
  t.notOk(open.closedByPeer)
  t.match(await rawSend(upstream.port, 'nonsense\r\n\r\n'), { text: /^HTTP\/1.1 400 / })
})
