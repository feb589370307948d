import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import {
  afterHedge,
  afterQuestion,
  emptyHedgeBudget,
  type Latencies,
  noLatencies,
  slowAfterMs,
  withLatency,
} from '../../src/policy/hedge.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../../src/ports/upstream.ts'
import { createMirroredUpstream } from '../../src/upstream/steady/mirrored-upstream.ts'
import { openUpstream } from '../../src/upstream/open-upstream.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { pathHash } from '../nix/fixtures.ts'

t.setTimeout(300_000)
const seed = 20260735
const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const patient = new AbortController().signal
const text = Buffer.from('a narinfo')
const down = (): never => {
  throw new UpstreamError('connect', 'refused')
}

type World = {
  readonly roots: readonly [FakeUpstream, FakeUpstream, FakeUpstream]
  readonly upstream: Upstream
  /** How often a second root was asked because one was slow. */
  readonly hedges: () => number
  /** Lets time pass; whoever has waited long enough goes on. */
  readonly passes: (ms: number) => Promise<void>
  readonly asked: () => readonly number[]
}

function world(): World {
  const roots = [
    createFakeUpstream('cache'),
    createFakeUpstream('cache'),
    createFakeUpstream('cache'),
  ] as const
  let now = 0
  let hedges = 0
  const waiting = new Set<{ readonly at: number; readonly go: () => void }>()
  const timing = {
    random: () => 0.5,
    pause: (ms: number, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const waiter = { at: now + ms, go: resolve }
        waiting.add(waiter)
        signal.addEventListener('abort', () => {
          waiting.delete(waiter)
          reject(new Error('aborted'))
        })
      }),
  }
  return {
    roots,
    upstream: createMirroredUpstream(roots, {
      timing,
      nowMs: () => now,
      hedged: () => {
        hedges += 1
      },
    }),
    hedges: () => hedges,
    async passes(ms) {
      now += ms
      for (const waiter of waiting) if (waiter.at <= now) waiter.go()
      await new Promise((resolve) => setImmediate(resolve))
    },
    asked: () => roots.map(({ asked }) => asked.length),
  }
}

type Answer = 'found' | 'absent' | 'down'

function answering(answer: Answer): () => Buffer | null {
  return () => (answer === 'found' ? text : answer === 'absent' ? null : down())
}

/** What comes of a question: found, absent, or the code of what was thrown. */
async function outcome({ upstream }: World): Promise<string> {
  try {
    return (await upstream.narinfo(hash, patient)) === null ? 'absent' : 'found'
  } catch (error) {
    return error instanceof UpstreamError ? error.code : String(error)
  }
}

t.test('the first root is asked; a mirror only where it fails', async (t) => {
  const rows: readonly (readonly [Answer, Answer, Answer, string, readonly number[]])[] = [
    ['found', 'found', 'found', 'found', [1, 0, 0]],
    ['absent', 'found', 'found', 'absent', [1, 0, 0]],
    ['down', 'found', 'found', 'found', [1, 1, 0]],
    ['down', 'absent', 'found', 'found', [1, 1, 1]],
    ['down', 'down', 'found', 'found', [1, 1, 1]],
    ['down', 'absent', 'absent', 'connect', [1, 1, 1]],
    ['down', 'down', 'absent', 'connect', [1, 1, 1]],
    ['down', 'down', 'down', 'connect', [1, 1, 1]],
  ]
  for (const [first, second, third, expected, asked] of rows) {
    const it = world()
    for (const [index, answer] of [first, second, third].entries()) {
      Object.assign(it.roots[index]?.answers ?? {}, { narinfo: answering(answer) })
    }
    t.equal(await outcome(it), expected, `${first}, ${second}, ${third}`)
    t.same(it.asked(), asked)
  }
})

t.test('a root that failed lately comes last, and its word still decides', async (t) => {
  const it = world()
  const [first, second, third] = it.roots
  first.answers.narinfo = down
  second.answers.narinfo = () => text
  t.equal(await outcome(it), 'found')
  t.equal(await outcome(it), 'found')
  t.same(it.asked(), [1, 2, 0])
  second.answers.narinfo = () => null
  first.answers.narinfo = () => text
  t.equal(await outcome(it), 'found', 'a mirror that lags is no proof')
  t.same(it.asked(), [2, 3, 1])
  t.equal(third.asked.length, 1)
  t.equal(await outcome(it), 'found')
  t.same(it.asked(), [3, 3, 1], 'back, it is the first again')
  first.answers.narinfo = down
  second.answers.narinfo = () => text
  await outcome(it)
  await it.passes(30_000)
  await outcome(it)
  t.same(it.asked(), [5, 5, 1], 'after a while it is tried again')
})

async function* bytes(count: number): UpstreamBody & AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(count)
  await Promise.resolve()
}

async function* broken(): UpstreamBody & AsyncGenerator<Uint8Array> {
  yield* bytes(10)
  throw new UpstreamError('reset', 'cut')
}

async function lengthOf(body: UpstreamBody | null): Promise<number> {
  let length = 0
  for await (const chunk of body ?? []) length += chunk.length
  return length
}

t.test('NARs, logs and the rest come from a mirror where the first root fails', async (t) => {
  const it = world()
  const [first, second] = it.roots
  first.answers.nar = down
  second.answers.nar = () => bytes(20)
  second.answers.buildLog = () => bytes(30)
  t.equal(await lengthOf(await it.upstream.nar('nar/x', patient)), 20)
  t.same(second.asked, ['nar nar/x'])
  t.equal(await lengthOf(await it.upstream.buildLog('x.drv', patient)), 30)
  const other = world()
  const [breaking, whole] = other.roots
  breaking.answers.nar = broken
  whole.answers.nar = () => bytes(20)
  await t.rejects(lengthOf(await other.upstream.nar('nar/x', patient)), { code: 'reset' })
  t.equal(await lengthOf(await other.upstream.nar('nar/x', patient)), 20, 'and where one broke off')
})

t.test('a NAR was promised: only where nobody has it is it not there', async (t) => {
  const it = world()
  const [first, second, third] = it.roots
  first.answers.nar = () => null
  second.answers.nar = () => bytes(20)
  t.equal(
    await lengthOf(await it.upstream.nar('nar/x', patient)),
    20,
    "the narinfo was the mirror's",
  )
  second.answers.nar = down
  third.answers.nar = () => null
  await t.rejects(it.upstream.nar('nar/x', patient), { code: 'connect' })
  second.answers.nar = () => {
    throw new UpstreamError('url-refused', 'it leads out of that root')
  }
  t.equal(await it.upstream.nar('nar/x', patient), null)
})

t.test('who leaves ends the questions, and no mirror is asked for it', async (t) => {
  const it = world()
  const leaving = new AbortController()
  it.roots[0].answers.narinfo = (_, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  const asked = it.upstream.narinfo(hash, leaving.signal)
  leaving.abort(new Error('left'))
  await t.rejects(asked, { message: 'left' })
  t.same(it.asked(), [1, 0, 0])
})

/** Answers after so many milliseconds of the world's time; tells of its abort. */
function slowly(it: World, root: FakeUpstream, aborted: () => void = () => undefined) {
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  root.answers.narinfo = (_, signal) => {
    signal.addEventListener('abort', aborted)
    return promise
  }
  return () => {
    resolve(text)
    return it.passes(0)
  }
}

async function warmUp(it: World, questions: number): Promise<void> {
  it.roots[0].answers.narinfo = () => text
  for (let asked = 0; asked < questions; asked += 1) await outcome(it)
}

t.test('a mirror is asked besides where the first root is slower than nearly ever', async (t) => {
  const it = world()
  await warmUp(it, 30)
  let aborts = 0
  slowly(it, it.roots[0], () => {
    aborts += 1
  })
  it.roots[1].answers.narinfo = () => text
  const answered = outcome(it)
  await it.passes(1)
  t.equal(await answered, 'found')
  t.equal(it.hedges(), 1)
  t.equal(aborts, 1, 'who lost is not waited for')
  t.same(it.asked(), [31, 1, 0])
})

t.test('a mirror that is quick to say that it has nothing settles nothing', async (t) => {
  const it = world()
  await warmUp(it, 30)
  const answers = slowly(it, it.roots[0])
  const answered = outcome(it)
  await it.passes(1)
  t.same(it.asked(), [31, 1, 1])
  await answers()
  t.equal(await answered, 'found')
})

t.test('without enough experience nobody is called slow', async (t) => {
  const it = world()
  await warmUp(it, 19)
  const answers = slowly(it, it.roots[0])
  const answered = outcome(it)
  await it.passes(100_000)
  t.same(it.asked(), [20, 0, 0])
  await answers()
  t.equal(await answered, 'found')
})

t.test('of a thousand slow answers, at most one in twenty is asked for twice', async (t) => {
  const it = world()
  await warmUp(it, 100)
  const before = it.asked()
  it.roots[1].answers.narinfo = () => text
  let found = 0
  for (let question = 0; question < 1000; question += 1) {
    const answers = slowly(it, it.roots[0])
    const answered = outcome(it)
    await it.passes(1 + question)
    await answers()
    if ((await answered) === 'found') found += 1
  }
  t.equal(found, 1000)
  const extra = (it.asked()[1] ?? 0) - (before[1] ?? 0)
  t.equal(extra, it.hedges())
  t.ok(extra > 0 && extra <= 55, `${extra} questions more for 1100`)
  t.comment(`1100 questions cost ${extra} more`)
})

t.test('the 95th of a hundred is what is slow', async (t) => {
  const add = (all: Latencies, ms: number): Latencies => withLatency(all, ms)
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  t.equal(slowAfterMs(hundred.reduce(add, noLatencies)), 95)
  t.equal(slowAfterMs(hundred.slice(0, 19).reduce(add, noLatencies)), null)
  t.equal(slowAfterMs(hundred.slice(0, 20).reduce(add, noLatencies)), 19)
  t.equal([...hundred, ...hundred].reduce(add, noLatencies).length, 100, 'the last ones count')
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 20, maxLength: 300 }), (all) => {
      const slow = slowAfterMs(all.reduce(add, noLatencies))
      const window = all.slice(-100)
      const slower = window.filter((ms) => ms > (slow ?? Infinity)).length
      return slow !== null && slower <= window.length * 0.05
    }),
    { seed },
  )
})

t.test('hedges never are more than a twentieth, however they are asked for', async () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 2000 }), (wishes) => {
      let budget = emptyHedgeBudget
      let hedges = 0
      for (const isWished of wishes) {
        budget = afterQuestion(budget)
        const left = isWished ? afterHedge(budget) : null
        if (left === null) continue
        budget = left
        hedges += 1
      }
      return hedges <= wishes.length / 20
    }),
    { seed },
  )
})

/** A cache with credentials and two mirrors, of which one is at the same origin. */
async function openMirrored(t: Test) {
  const root = t.testdir({ 'nix-cache-info': 'StoreDir: /nix/store\n', m: {} })
  const one = await startUpstream({ root })
  const other = await startUpstream({ root })
  t.teardown(() => Promise.all([one.close(), other.close()]))
  const wrapped: Upstream[] = []
  const upstream = openUpstream(
    plainUpstream({ url: `${one.url}/gone`, mirrors: [`${one.url}/m`, other.url] }),
    (each) => {
      wrapped.push(each)
      return each
    },
  )
  return { one, other, upstream, wrapped }
}

t.test('each root is wrapped by itself, and closed', async (t) => {
  const { one, other, upstream, wrapped } = await openMirrored(t)
  one.faults.add({ path: /^/, action: { kind: 'status', status: 503 } })
  t.match(await upstream.cacheInfo(patient), Buffer.from('StoreDir: /nix/store\n'))
  t.equal(wrapped.length, 3)
  t.same(
    [...one.requests, ...other.requests].map(({ path }) => path),
    ['/gone/nix-cache-info', '/m/nix-cache-info', '/nix-cache-info'],
  )
  await upstream.close()
})

t.test('a client gets everything from a mirror while the cache is down', async (t) => {
  const lab = await prepareLab()
  await using primary = await startUpstream({ root: lab.caches.xz })
  await using mirror = await startUpstream({ root: lab.caches.xz })
  await using client = await createNixClient({ lab })
  await using weir = await startWeir({
    config: {
      upstreams: [{ name: 'lab', url: primary.url, mirrors: [mirror.url], keys: [lab.publicKey] }],
    },
  })
  const options = { substituters: [weir.url], extraOptions: ['--option', 'download-attempts', '1'] }
  t.equal((await client.realise([lab.paths.dep], options)).code, 0)
  t.equal(mirror.requests.length, 0, 'up, the cache alone is asked')
  await primary.stop()
  const { code, stderr } = await client.realise([lab.paths.top], options)
  t.equal(code, 0, stderr)
  t.equal(await client.narSha256(lab.paths.top), lab.narSha256(lab.paths.top))
  t.ok(mirror.requests.some(({ path }) => path.startsWith('/nar/')))
  const missing = await fetch(`${weir.url}/${'0'.repeat(32)}.narinfo`)
  t.equal(missing.status, 503, 'what the mirror does not have the cache may have')
})
