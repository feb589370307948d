/** NARs that hardly move, and those who join them. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Demand } from '../../src/ports/nar-ingest.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { bodyOf, encodeNar, mixedNar, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, type TestSource } from '../fakes/ingest-run.ts'

const dir = t.testdir()
let files = 0
/** A file of its own: the tests run side by side, since they mostly wait. */
const newFile = (): string => join(dir, String((files += 1)))
t.jobs = 10
const bigNar = mixedNar(3_000_000, 20261127)

/** The bytes, and then nothing, until the reader leaves. */
async function* stalling(bytes: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* bodyOf(bytes, [50_000])
  await new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error)
    })
  })
}

/** Those who join when it is told. */
function joining(): Demand & { readonly join: () => void; readonly listeners: () => number } {
  const listeners = new Set<() => void>()
  return {
    onJoined(act) {
      listeners.add(act)
      return () => listeners.delete(act)
    },
    join: () => {
      for (const act of listeners) act()
    },
    listeners: () => listeners.size,
  }
}

/** A source that gives only so many bytes each time, somebody joining then, and all of it the time after. */
function stallingSource(encoded: Uint8Array, given: readonly number[], join: () => void) {
  let asked = 0
  const source: TestSource = {
    compression: 'xz',
    give: (signal) => {
      const bytes = given[asked]
      asked += 1
      if (bytes === undefined) return bodyOf(encoded)
      setImmediate(join)
      return stalling(encoded.subarray(0, bytes), signal)
    },
  }
  return { source, asked: () => asked }
}

t.test(
  'whoever joins a NAR that hardly moves has it fetched anew, more patiently each time',
  { buffered: true },
  async (t) => {
    for (const [nar, verifyFirst] of [
      [smallNar, true],
      [bigNar, true],
      [bigNar, false],
    ] as const) {
      const encoded = await encodeNar('xz', nar)
      const demand = joining()
      // What is handed out as it comes stands once its first block is decoded.
      const more = verifyFirst ? encoded.length >> 1 : 1000
      const { source, asked } = stallingSource(encoded, [1, more], demand.join)
      const began = performance.now()
      const run = await runIngest(jobFor(nar, newFile(), { verifyFirst }), [source], { demand })
      t.equal(run.outcome.kind, 'verified')
      t.equal(asked(), 3)
      t.same(failureCodes(run), [], 'it has not failed')
      t.ok(performance.now() - began > 3000, 'a second is waited, then two')
      t.equal(demand.listeners(), 0)
    }
  },
)

t.test('the other sources come before', { buffered: true }, async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const demand = joining()
  const { source, asked } = stallingSource(encoded, [1000], demand.join)
  const other: TestSource = { compression: 'none', give: () => bodyOf(bigNar) }
  const run = await runIngest(jobFor(bigNar, newFile(), { verifyFirst: false }), [source, other], {
    demand,
  })
  t.match(run.outcome, { kind: 'verified', upstream: 'second' })
  t.equal(asked(), 1)
  t.same(failureCodes(run), [], 'which says nothing of it')
})

t.test(
  'where there are others nobody needs to join, and it comes after them',
  { buffered: true },
  async (t) => {
    const encoded = await encodeNar('xz', smallNar)
    const { source, asked } = stallingSource(encoded, [1], () => undefined)
    let asOthers = 0
    const down: TestSource = {
      give: () => {
        asOthers += 1
        throw new UpstreamError('reset', 'reset')
      },
    }
    const run = await runIngest(jobFor(smallNar, newFile()), [source, down])
    t.match(run.outcome, { kind: 'verified', upstream: 'first' })
    t.same([asked(), asOthers], [2, 1])
    t.same(failureCodes(run), ['outpaced', 'reset'])
  },
)

t.test(
  'a source that is to be tried once only leaves its place to those who are held back',
  { buffered: true },
  async (t) => {
    const encoded = await encodeNar('xz', smallNar)
    const { source, asked } = stallingSource(encoded, [1], () => undefined)
    const run = await runIngest(jobFor(smallNar, newFile(), { isTriedOnce: true }), [source])
    t.equal(run.outcome.kind, 'failed')
    t.equal(asked(), 1)
    t.same(failureCodes(run), ['outpaced'])
  },
)

t.test('what has come far, or was handed out, is waited for', { buffered: true }, async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const demand = joining()
  let asked = 0
  const source = (at: number): TestSource => ({
    compression: 'xz',
    give: async function* () {
      asked += 1
      yield* bodyOf(encoded.subarray(0, at), [50_000])
      demand.join()
      await setTimeout(3000)
      yield encoded.subarray(at)
    },
  })
  for (const [at, verifyFirst] of [
    [1_100_000, true],
    [500_000, false],
  ] as const) {
    asked = 0
    const run = await runIngest(jobFor(bigNar, newFile(), { verifyFirst }), [source(at)], {
      demand,
    })
    t.equal(run.outcome.kind, 'verified')
    t.equal(asked, 1)
  }
})

t.test('who joined what moved then is not thought of later', { buffered: true }, async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const demand = joining()
  let asked = 0
  const source: TestSource = {
    compression: 'xz',
    give: async function* () {
      asked += 1
      yield encoded.subarray(0, 100_000)
      demand.join()
      for (let second = 0; second < 3; second += 1) {
        await setTimeout(1000)
        yield encoded.subarray(100_000 + second * 10_000, 100_000 + (second + 1) * 10_000)
      }
      await setTimeout(3000)
      yield encoded.subarray(130_000)
    },
  }
  const run = await runIngest(jobFor(bigNar, newFile()), [source], { demand })
  t.equal(run.outcome.kind, 'verified')
  t.equal(asked, 1)
})

t.test('what moves is left alone', { buffered: true }, async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const demand = joining()
  let asked = 0
  async function* steady(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < encoded.length; at += 300_000) {
      yield encoded.subarray(at, at + 300_000)
      demand.join()
      await setTimeout(400)
    }
  }
  const source: TestSource = {
    compression: 'xz',
    give: () => {
      asked += 1
      return steady()
    },
  }
  const run = await runIngest(jobFor(bigNar, newFile()), [source], { demand })
  t.equal(run.outcome.kind, 'verified')
  t.equal(asked, 1)
})
