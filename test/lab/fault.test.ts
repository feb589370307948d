import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { FaultAction } from './fault.ts'
import { createGate } from './gate.ts'
import { rawGet, type RawGetOptions } from './raw-client.ts'
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

t.test('faults that answer something else', async (t) => {
  const busy = { kind: 'status', status: 503, headers: { 'retry-after': '7' }, body: 'no' } as const
  const refused = await getWith(busy)
  t.match(refused, { status: 503, headers: { 'retry-after': '7' } })
  t.equal(refused.body.toString(), 'no')
  const location = 'http://127.0.0.1:1/elsewhere'
  t.match(await getWith({ kind: 'redirect', location }), { status: 302, headers: { location } })
  const page = await getWith({ kind: 'html' })
  t.match(page, { status: 200, headers: { 'content-type': 'text/html' } })
  t.match(page.body.toString(), /^<!doctype html>/)
  const body = (original: Buffer) => original.subarray(0, 4)
  t.equal((await getWith({ kind: 'replaceBody', body })).body.toString(), 'some')
  upstream.faults.add({ path: /^\/new$/, action: { kind: 'replaceBody', body: 'made up' } })
  t.equal((await rawGet(`${upstream.url}/new`)).body.toString(), 'made up')
  const handled = await getWith({
    kind: 'handler',
    handle: (request, response) => {
      response.writeHead(418).end(request.url)
    },
  })
  t.match(handled, { status: 418, complete: true })
  t.match(upstream.requests.at(-1), { status: 418 })
  t.match(await getWith({ kind: 'header', name: 'x-lab', value: 'yes' }), {
    ...allOf,
    headers: { 'x-lab': 'yes' },
  })
})

t.test('faults of the body: each is told apart from a whole one', async (t) => {
  t.match(await getWith({ kind: 'truncate', bytes: 1000 }), { length: 1000, complete: false })
  t.match(await getWith({ kind: 'truncate', bytes: 0 }), { length: 0, complete: false })
  t.match(await getWith({ kind: 'truncate', bytes: size }), { length: size, complete: true })
  await upstream.waitFor((request) => request.bytesSent === 1000 && request.state === 'aborted')
  t.match(await getWith({ kind: 'shortOk', bytes: 1000 }), { length: 1000, complete: true })
  const reset = await getWith({ kind: 'reset', bytes: 100_000 })
  t.notOk(reset.complete)
  t.ok(reset.length <= 100_000)
  const places = { first: 0, middle: size / 2, last: size - 1 }
  for (const [place, offset] of Object.entries({ ...places, 262_144: 262_144 })) {
    const at = place in places ? (place as keyof typeof places) : offset
    const corrupted = Buffer.from(file)
    corrupted.writeUInt8(file.readUInt8(offset) ^ 1, offset)
    const answer = await getWith({ kind: 'corrupt', at })
    t.match(answer, { sha256: sha256(corrupted), length: size, complete: true }, place)
  }
  const half = await getWith({ kind: 'truncate', bytes: 'middle' })
  t.match(half, { length: size / 2, complete: false })
  t.match(await getWith({ kind: 'truncate', bytes: 'last' }), { length: size - 1, complete: false })
  const shorter = await getWith({ kind: 'wrongLength', by: -50 })
  t.match(shorter, { length: size - 50, complete: true })
  const range = { headers: { range: 'bytes=5-9' } }
  t.match(await getWith({ kind: 'norange' }, range), { ...allOf, status: 200 })
  t.notOk('accept-ranges' in (await getWith({ kind: 'norange' })).headers)
  const chunked = await getWith({ kind: 'chunked' })
  t.match(chunked, { ...allOf, headers: { 'transfer-encoding': 'chunked' } })
  t.notOk('content-length' in chunked.headers)
  upstream.faults.add({ path: /^/, action: { kind: 'chunked' } })
  const broken = await getWith({ kind: 'truncate', bytes: 1000 })
  t.match(broken, { length: 1000, complete: false }, 'faults combine')
})

t.test('faults of time wait for the test', async (t) => {
  const late = upstream.hold({ path: /^\/nar\// })
  const held = get()
  await late.reached()
  t.match(upstream.requests, [{ status: null, state: 'open' }])
  late.open()
  t.match(await held, allOf)
  upstream.faults.clear()
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const promised = getWith({ kind: 'delayUntil', until: promise })
  await upstream.waitFor((request) => request.status === null)
  resolve(undefined)
  t.match(await promised, allOf)
  t.match(await getWith({ kind: 'delayMs', ms: 1 }), allOf)
  const few = await getWith({ kind: 'drip', everyMs: 1 }, { hangUpAfterBytes: 3 })
  t.match(few, { status: 200, complete: false })
  t.ok(few.length < 1000, 'byte by byte')

  const gate = createGate()
  const midway = getWith({ kind: 'gateAfterBytes', bytes: 1_000_000, gate })
  await gate.reached()
  t.match(upstream.requests.at(-1), { status: 200, bytesSent: 1_000_000, state: 'open' })
  gate.open()
  t.match(await midway, allOf)

  const ticks = createGate()
  const slow = getWith({ kind: 'slow', bytes: 1_000_000, gate: ticks })
  ticks.admit(2)
  await ticks.reached(3)
  t.equal(upstream.requests.at(-1)?.bytesSent, 2_000_000)
  ticks.admit(1)
  t.match(await slow, allOf)
})

t.test('a fault strikes as often as told, by method and path', async (t) => {
  const action = { kind: 'status', status: 500 } as const
  upstream.faults.add({ method: 'GET', path: /x\.nar$/, times: 2, action })
  t.match(await get({ method: 'HEAD' }), { status: 200 })
  t.match(await rawGet(`${upstream.url}/nix-cache-info`), { status: 200 })
  t.match([await get(), await get(), await get()], [{ status: 500 }, { status: 500 }, allOf])
  upstream.faults.add({ path: /^/, timesEach: 1, action })
  t.match([await get(), await get()], [{ status: 500 }, allOf])
  t.match(await rawGet(`${upstream.url}/nix-cache-info`), { status: 500 }, 'each path by itself')
  const chosen: (FaultAction | null)[] = [null, action]
  upstream.faults.add({ path: /^/, action: () => chosen.shift() ?? null })
  t.match([await get(), await get(), await get()], [allOf, { status: 500 }, allOf], 'as it chooses')
})
