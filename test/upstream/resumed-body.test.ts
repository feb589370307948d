import { Buffer } from 'node:buffer'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { createHttpUpstream } from '../../src/upstream/http/http-upstream.ts'
import { identityOf, isRest, restHeaders } from '../../src/upstream/http/resume-rules.ts'
import { fullJitterMs } from '../../src/policy/full-jitter.ts'
import { realTiming, type Timing } from '../../src/upstream/timing.ts'
import { randomBytes } from '../fakes/encode-nar.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import { workFolder } from '../fakes/work-folder.ts'
import type { FaultAction } from '../lab/fault.ts'
import { createGate } from '../lab/gate.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'

const seed = 20260733
const size = 1_000_000
const file = randomBytes(size, seed)
const patient = new AbortController().signal

type World = {
  readonly cache: UpstreamServer
  /** How long was paused before each further question, in milliseconds. */
  readonly pauses: number[]
  /** Acts in each of the pauses. */
  readonly onPause: (act: () => unknown) => void
  /** Reads the file: its bytes, and the code that it ended with. */
  readonly read: (signal?: AbortSignal) => Promise<{ body: Buffer; code: unknown }>
  /** The Range headers that came, and what was answered. */
  readonly asked: () => readonly (readonly [string | undefined, number | null])[]
}

async function world(
  t: Test,
  options: { readonly etags?: boolean; readonly idleMs?: number } & Partial<Timing> = {},
): Promise<World> {
  const root = workFolder(t)
  await mkdir(join(root, 'nar'))
  await writeFile(join(root, 'nar', 'x.nar'), file)
  const cache = await startUpstream({ root, etags: options.etags ?? true })
  t.teardown(() => cache.close())
  const pauses: number[] = []
  let onPause: () => unknown = () => undefined
  const timing: Timing = {
    pause: async (ms, signal) => {
      pauses.push(ms)
      await onPause()
      await options.pause?.(ms, signal)
    },
    random: options.random ?? (() => 0.5),
  }
  const settings = plainUpstream({ url: cache.url, idleMs: options.idleMs ?? 60_000 })
  const upstream = createHttpUpstream(settings, undefined, undefined, timing)
  t.teardown(() => void upstream.close())
  return {
    cache,
    pauses,
    onPause: (act) => {
      onPause = act
    },
    asked: () => cache.requests.map(({ headers, status }) => [headers['range'] as string, status]),
    async read(signal = patient) {
      const chunks: Uint8Array[] = []
      let code: unknown = null
      try {
        for await (const chunk of (await upstream.nar('nar/x.nar', signal)) ?? []) {
          chunks.push(chunk)
        }
      } catch (error) {
        code = error instanceof UpstreamError ? error.code : error
      }
      return { body: Buffer.concat(chunks), code }
    },
  }
}

const isWhole = (body: Buffer): boolean => body.equals(file)

/** Strikes so many requests for the file. */
function strike({ cache }: World, times: number, ...actions: readonly FaultAction[]): void {
  for (const action of actions) cache.faults.add({ path: /^\/nar\//, times, action })
}

for (const at of [0, 1, size / 2, size - 1]) {
  t.test(`a body that breaks off after ${at} bytes is gone on with from there`, async (t) => {
    const it = await world(t)
    strike(it, 1, { kind: 'truncate', bytes: at })
    const { body, code } = await it.read()
    t.equal(code, null)
    t.ok(isWhole(body))
    const again = at === 0 ? [undefined, 200] : [`bytes=${at}-`, 206]
    t.strictSame(it.asked(), [[undefined, 200], again])
    t.strictSame(it.pauses, [50])
  })
}

t.test('a rest is asked for by what names the file', async (t) => {
  const it = await world(t)
  const { requests } = it.cache
  strike(it, 1, { kind: 'truncate', bytes: 1000 })
  t.ok(isWhole((await it.read()).body))
  t.match(requests.at(-1)?.headers['if-range'], /^"[^"]+"$/, 'its strong ETag')
  const modified = 'Wed, 21 Oct 2015 07:28:00 GMT'
  for (const etag of ['W/"weak"', 'unquoted', '']) {
    strike(
      it,
      1,
      { kind: 'truncate', bytes: 1000 },
      { kind: 'header', name: 'etag', value: etag },
      { kind: 'header', name: 'last-modified', value: modified },
    )
    t.ok(isWhole((await it.read()).body))
    t.equal(requests.at(-1)?.headers['if-range'], modified, `without one (${etag}), its date`)
  }
  const plain = await world(t, { etags: false })
  strike(plain, 1, { kind: 'truncate', bytes: 1000 })
  t.ok(isWhole((await plain.read()).body), 'without either, its length')
  t.equal(plain.cache.requests.at(-1)?.headers['if-range'], undefined)
})

t.test('a body that stalls is asked for anew', async (t) => {
  const it = await world(t, { idleMs: 100 })
  strike(it, 1, { kind: 'gateAfterBytes', bytes: 5000, gate: createGate() })
  t.ok(isWhole((await it.read()).body))
  t.strictSame(it.asked().at(-1), ['bytes=5000-', 206])
})

t.test('as long as each rest brings something, it goes on', async (t) => {
  const it = await world(t)
  strike(it, 9, { kind: 'truncate', bytes: size / 10 })
  const { body, code } = await it.read()
  t.equal(code, null)
  t.ok(isWhole(body))
  t.equal(it.asked().length, 10)
})

t.test('three that bring nothing, and it is given up', async (t) => {
  const broken: readonly FaultAction[] = [
    { kind: 'truncate', bytes: 0 },
    { kind: 'status', status: 503 },
    { kind: 'status', status: 429 },
  ]
  for (const action of broken) {
    const it = await world(t)
    strike(it, 1, { kind: 'truncate', bytes: 1000 })
    it.onPause(() => {
      it.cache.faults.add({ path: /^\/nar\//, action })
    })
    const { body, code } = await it.read()
    t.equal(code, 'reset', 'with what it broke off with')
    t.equal(body.length, 1000)
    t.equal(it.asked().length, 4)
    t.strictSame(it.pauses, [50, 100, 200], 'longer and longer pauses')
  }
})

t.test('a cache that is away in between is waited for, a little', async (t) => {
  const it = await world(t)
  strike(it, 1, { kind: 'truncate', bytes: 1000 })
  const events = [() => it.cache.stop(), () => it.cache.start()]
  it.onPause(() => events.shift()?.())
  const { body, code } = await it.read()
  t.equal(code, null)
  t.ok(isWhole(body))
})

const range = (value: string): FaultAction => ({ kind: 'header', name: 'content-range', value })
const noRests: Readonly<Record<string, readonly FaultAction[]>> = {
  'the whole file': [{ kind: 'norange' }],
  'another place': [range(`bytes 999-${size - 1}/${size}`)],
  'a file of another length': [range(`bytes 1000-${size - 1}/${size + 1}`)],
  'a file with another ETag': [{ kind: 'header', name: 'etag', value: '"another"' }],
  'no place at all': [range('')],
  'an encoded rest': [{ kind: 'header', name: 'content-encoding', value: 'gzip' }],
  'that it is gone': [{ kind: 'status', status: 404 }],
  'that there is no such part': [{ kind: 'status', status: 416 }],
}

for (const [what, actions] of Object.entries(noRests)) {
  t.test(`an answer that says ${what} is no rest, and is not asked for again`, async (t) => {
    const it = await world(t)
    strike(it, 1, { kind: 'truncate', bytes: 1000 })
    it.onPause(() => {
      strike(it, 1, ...actions)
    })
    const { body, code } = await it.read()
    t.equal(code, 'reset')
    t.equal(body.length, 1000)
    t.equal(it.asked().length, 2)
  })
}

t.test('without anything that names the file, no rest is asked for', async (t) => {
  const it = await world(t, { etags: false })
  strike(it, 1, { kind: 'chunked' }, { kind: 'truncate', bytes: 1000 })
  t.match(await it.read(), { code: 'reset' })
  t.equal(it.asked().length, 1)
})

t.test('a redirect is followed anew', async (t) => {
  const it = await world(t)
  strike(it, 1, { kind: 'truncate', bytes: 1000 })
  it.onPause(() => {
    strike(it, 1, { kind: 'redirect', location: '/nar/./x.nar?moved' })
  })
  t.ok(isWhole((await it.read()).body))
  t.strictSame(
    it.cache.requests.map(({ path }) => path),
    ['/nar/x.nar', '/nar/x.nar', '/nar/x.nar?moved'],
  )
  t.equal(it.cache.requests.at(-1)?.headers['range'], 'bytes=1000-')
})

t.test('who leaves is not waited for', async (t) => {
  const leaving = new AbortController()
  const it = await world(t, { pause: realTiming.pause, random: () => 1e9 })
  strike(it, 1, { kind: 'truncate', bytes: 1000 })
  it.onPause(() => {
    leaving.abort(new Error('left'))
  })
  const { code } = await it.read(leaving.signal)
  t.match(code, { name: 'AbortError' })
  t.equal(it.asked().length, 1)
})

t.test('no part is ever taken for another one', async (t) => {
  const total = fc.integer({ min: 1, max: 20 })
  const answered = fc.record({
    status: fc.constantFrom(200, 206, 304, 404),
    start: fc.integer({ min: 0, max: 20 }),
    total: fc.option(total),
    etag: fc.constantFrom('"a"', '"b"', 'W/"a"', null),
  })
  const first = fc.record({ length: fc.option(total), etag: fc.constantFrom('"a"', null) })
  fc.assert(
    fc.property(first, fc.integer({ min: 1, max: 20 }), answered, (was, at, is) => {
      const identity = identityOf(head(200, { etag: was.etag, 'content-length': was.length }))
      const contentRange = `bytes ${is.start}-${is.start + 1}/${is.total ?? '*'}`
      const answer = head(is.status, { etag: is.etag, 'content-range': contentRange })
      if (!isRest(identity, at, answer)) return true
      const isSameFile = was.etag === null ? is.total === was.length : is.etag !== '"b"'
      return (
        is.status === 206 && is.start === at && isSameFile && restHeaders(identity, at) !== null
      )
    }),
    { seed },
  )
  t.end()
})

function head(statusCode: number, headers: Readonly<Record<string, string | number | null>>) {
  const present = Object.entries(headers).filter(([, value]) => value !== null)
  return {
    statusCode,
    headers: Object.fromEntries(present.map(([name, value]) => [name, String(value)])),
  }
}

t.test('a pause is anything up to a bound that doubles', async (t) => {
  const bounds = { baseMs: 200, capMs: 2000 }
  const longest = [1, 2, 3, 4, 5, 100].map((failures) => fullJitterMs(failures, bounds, () => 1))
  t.strictSame(longest, [200, 400, 800, 1600, 2000, 2000])
  t.equal(
    fullJitterMs(3, bounds, () => 0),
    0,
  )
})
