import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import type { NarStore } from '../../src/ports/nar-store.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createHeldBytes } from '../../src/substituter/fetching/held-bytes.ts'
import { createStreams } from '../../src/substituter/fetching/streams.ts'
import { TransferBrokenError } from '../../src/substituter/fetching/transfer.ts'
import { bodyOf, mixedNar, patternNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest, fakeEtag } from '../fakes/fake-nar-ingest.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import {
  cacheFiles,
  fetchNar,
  fetchNarinfo,
  gate,
  getNar,
  isSettled,
  never,
  openNar,
  readBody,
  resumeNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import { type Tap, world, type WorldOptions } from '../fakes/substituter-world.ts'
import { claimFor, numbered, upstreamWith } from '../fakes/test-claims.ts'
import { must } from '../nix/fixtures.ts'

const hello = claimFor(patternNar)
const { key } = hello
const bigNar = mixedNar(6_000_000, 20260801)
const big = claimFor(bigNar)

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** A store's disk: what is thrown where something is written, and what it says is free. */
type Disk = {
  error: Error | null
  freeBytes: number
  stagedTimes: number
  triedTimes: number
  removed: () => void
}

/** A world whose disk a test fills. */
async function worldOn(
  t: Tap,
  disk: Partial<Disk>,
  options: Partial<WorldOptions> & { readonly failingStep?: 'stage' | 'write' | 'commit' } = {},
) {
  const { failingStep = 'stage', ...rest } = options
  const state: Disk = {
    error: null,
    freeBytes: 0,
    stagedTimes: 0,
    triedTimes: 0,
    removed: () => undefined,
    ...disk,
  }
  const fails = (step: string): boolean => state.error !== null && step === failingStep
  const store = (real: NarStore): NarStore => ({
    ...real,
    stage: async () => {
      state.stagedTimes += 1
      if (state.error !== null && fails('stage')) throw state.error
      const staged = await real.stage()
      return {
        ...staged,
        path: fails('write') ? '/dev/full' : staged.path,
        commit: (key, narinfo) =>
          state.error !== null && fails('commit')
            ? Promise.reject(state.error)
            : staged.commit(key, narinfo),
      }
    },
    remove: async (key) => {
      await real.remove(key)
      state.removed()
    },
    space: () => Promise.resolve({ freeBytes: state.freeBytes, totalBytes: 2 ** 40 }),
    tryOut: async () => {
      state.triedTimes += 1
      if (state.error !== null) throw state.error
      await real.tryOut()
    },
  })
  const upstreams = rest.upstreams ?? [upstreamWith('a', hello)]
  const made = await world(t, { ...rest, upstreams, store })
  return { made, disk: state }
}

t.test('a NAR that cannot be written', async (t) => {
  for (const failingStep of ['stage', 'write'] as const) {
    for (const verifyFirstBytes of [2 ** 24, 0]) {
      const when = `${failingStep}, ${verifyFirstBytes === 0 ? 'as it comes' : 'verified first'}`
      t.test(`is handed on all the same (${when}), and leaves nothing`, async (t) => {
        const options = { failingStep, verifyFirstBytes }
        const { made } = await worldOn(t, { error: failure('ENOSPC') }, options)
        const got = await fetchNar(made, key)
        t.ok(Buffer.compare(zstdDecompressSync(got), patternNar) === 0)
        await made.transfers.idle()
        t.same(await cacheFiles(made), [])
        t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
        t.equal(made.keeper.room().reserved, 0)
        t.equal(made.storing.isOn(), false)
        t.match(made.log.named('cache.streaming'), [{ code: 'ENOSPC', freeBytes: 0 }])
      })
    }
  }

  t.test('costs the next one no try', async (t) => {
    const { made, disk } = await worldOn(t, { error: failure('EROFS') })
    await fetchNar(made, key)
    await fetchNar(made, key)
    t.equal(disk.stagedTimes, 1)
    t.equal(made.log.named('cache.streaming').length, 1)
    t.match(await made.substituter.narinfo(key.storePathHash), { kind: 'found', isStored: false })
    t.match(await made.substituter.peek(key), { kind: 'found' })
  })

  t.test('goes to each of those who waited for it', async (t) => {
    const { made } = await worldOn(t, { error: failure('ENOSPC') }, { failingStep: 'write' })
    const all = await Promise.all(Array.from({ length: 8 }, () => fetchNar(made, key)))
    for (const got of all) t.ok(Buffer.compare(zstdDecompressSync(got), patternNar) === 0)
  })

  t.test('and whose commit fails is there for who asked; the next one passes', async (t) => {
    const error = failure('ENOSPC')
    const { made, disk } = await worldOn(t, { error }, { failingStep: 'commit' })
    for (let time = 0; time < 2; time += 1) {
      const got = await storeNar(made, key)
      t.ok(Buffer.compare(zstdDecompressSync(got), patternNar) === 0)
    }
    t.equal(disk.stagedTimes, 1)
    t.same(await cacheFiles(made), [])
  })

  t.test('for another reason than its file is not handed on', async (t) => {
    const ingest = createFakeNarIngest(() => Promise.reject(new Error('an ingest thread died')))
    const { made } = await worldOn(t, {}, { ingest })
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(made.storing.isOn(), true)
  })
})

t.test('room is made', async (t) => {
  const [one, two, three] = [1, 2, 3].map((number) => numbered(number))
  const claims = [must(one), must(two), must(three)] as const
  const upstreams = [upstreamWith('a', ...claims)]

  t.test('where something may be evicted, and the NAR is kept', async (t) => {
    const { made, disk } = await worldOn(t, {}, { upstreams, failingStep: 'write' })
    await storeNar(made, claims[0].key)
    disk.error = failure('ENOSPC')
    disk.removed = () => {
      disk.error = null
    }
    await storeNar(made, claims[1].key)
    t.same(await made.catalog.find(claims[0].key.storePathHash), [])
    t.equal((await made.catalog.find(claims[1].key.storePathHash)).length, 1)
    t.same(made.log.named('cache.streaming'), [])
  })

  t.test('once: where that does not help, nothing more is evicted', async (t) => {
    const { made, disk } = await worldOn(t, {}, { upstreams, failingStep: 'write' })
    await storeNar(made, claims[0].key)
    await storeNar(made, claims[1].key)
    disk.error = failure('ENOSPC')
    await fetchNar(made, claims[2].key)
    await made.transfers.idle()
    const { count } = made.keeper.totals()
    await fetchNar(made, claims[2].key)
    await made.transfers.idle()
    t.equal(made.keeper.totals().count, count)
    t.equal(made.log.named('cache.streaming').length, 1)
  })

  t.test('though the catalog has no room to note it', async (t) => {
    const catalog = openSqliteCatalog(':memory:')
    let isFull = false
    const full = Object.assign(failure('ERR_SQLITE_ERROR'), { errcode: 13 })
    const { made, disk } = await worldOn(
      t,
      {},
      {
        upstreams,
        failingStep: 'write',
        catalog: {
          ...catalog,
          touch: () => Promise.reject(full),
          remove: (key) => (isFull ? Promise.reject(full) : catalog.remove(key)),
        },
      },
    )
    await storeNar(made, claims[0].key)
    isFull = true
    disk.error = failure('ENOSPC')
    disk.removed = () => {
      disk.error = null
      isFull = false
    }
    await storeNar(made, claims[1].key)
    t.same(await made.catalog.find(claims[0].key.storePathHash), [])
    t.equal((await made.catalog.find(claims[1].key.storePathHash)).length, 1)
  })
})

t.test('a file whose record cannot be written does not stay', async (t) => {
  const catalog = openSqliteCatalog(':memory:')
  const full = Object.assign(failure('ERR_SQLITE_ERROR'), { errcode: 13 })
  const { made } = await worldOn(
    t,
    {},
    { catalog: { ...catalog, put: () => Promise.reject(full) } },
  )
  t.ok(zstdDecompressSync(await storeNar(made, key)).equals(patternNar))
  t.same(await cacheFiles(made), [])
  t.match(made.log.named('cache.streaming'), [{ code: 'SQLITE_FULL' }])
  t.ok(zstdDecompressSync(await storeNar(made, key)).equals(patternNar))
})

t.test('a stream', async (t) => {
  const full = (t: Tap, options: Partial<WorldOptions> = {}) =>
    worldOn(t, { error: failure('ENOSPC') }, { upstreams: [upstreamWith('a', big)], ...options })

  t.test('goes on where another body of the NAR broke off', async (t) => {
    for (const verifyFirstBytes of [0, 2 ** 24]) {
      const { made } = await full(t, { verifyFirstBytes })
      const whole = await fetchNar(made, big.key)
      const cut = await openNar(made, big.key)
      await cut.body.read(Buffer.alloc(1000), 0, never)
      const { etag } = cut.body
      await cut.body[Symbol.asyncDispose]()
      for (const from of [1000, 2_000_000, whole.length - 1, whole.length]) {
        const resume = await resumeNar(made, big.key)
        if (resume.kind !== 'found') throw new Error(resume.kind)
        t.equal(resume.body.etag, etag)
        await resume.body.read(Buffer.alloc(1), from, never)
        const rest = await readBody(resume.body, 65_536, from)
        t.ok(rest.equals(whole.subarray(from)), `from ${from}`)
        await resume.body[Symbol.asyncDispose]()
      }
    }
  })

  t.test(
    'of a wrong NAR fails before its first byte, and a large one before its last',
    async (t) => {
      const a = upstreamWith('a', big)
      const wrong = Buffer.from(bigNar)
      wrong.writeUInt8(wrong.readUInt8(3_000_000) ^ 1, 3_000_000)
      a.answers.nar = () => bodyOf(wrong)
      const first = await full(t, { upstreams: [a] })
      t.match(await getNar(first.made, big.key), { kind: 'failed', failure: { kind: 'corrupt' } })
      const { made } = await full(t, { upstreams: [a], verifyFirstBytes: 0 })
      await t.rejects(fetchNar(made, big.key), TransferBrokenError)
      t.match(await resumeNar(made, big.key), { kind: 'broken' })
    },
  )

  t.test('in the upstream’s encoding without a hash of its file cannot be resumed', async (t) => {
    const a = upstreamWith('a', big)
    const { made } = await full(t, { upstreams: [a], encoding: 'upstream', verifyFirstBytes: 0 })
    const plain = { ...big.key, compression: 'none' } as const
    t.ok((await fetchNar(made, plain)).equals(bigNar))
    const cut = await openNar(made, plain)
    await cut.body.read(Buffer.alloc(1000), 0, never)
    await cut.body[Symbol.asyncDispose]()
    t.match(await resumeNar(made, plain), { kind: 'broken' })
  })

  t.test('that was verified first knows its size, and one that passes does not', async (t) => {
    const { made } = await full(t)
    const whole = await openNar(made, big.key)
    t.equal(await whole.body.wholeSize(never), whole.body.size)
    await whole.body[Symbol.asyncDispose]()
    const passing = await full(t, { verifyFirstBytes: 0 })
    const { body } = await openNar(passing.made, big.key)
    await t.rejects(body.wholeSize(never), TransferBrokenError)
    await body[Symbol.asyncDispose]()
  })

  t.test('waits for its reader with little in hand', async (t) => {
    let asked = 0
    const a = upstreamWith('a', big)
    a.answers.nar = async function* () {
      for (let at = 0; at < bigNar.length; at += 65_536) {
        asked = at
        yield await Promise.resolve(bigNar.subarray(at, at + 65_536))
      }
    }
    const { made } = await full(t, { upstreams: [a], verifyFirstBytes: 0 })
    const { body } = await openNar(made, big.key)
    // As long as the chain goes on by itself, an encoder's thread is at work.
    for (let before = -1; before !== asked;) {
      before = asked
      await setTimeout(100)
    }
    t.ok(asked < 3_500_000, `${asked} bytes of the NAR were asked for`)
    t.ok(zstdDecompressSync(await readBody(body)).equals(bigNar))
    await body[Symbol.asyncDispose]()
  })

  t.test('ends when its reader goes', async (t) => {
    const [begun, ended] = [gate(), gate()]
    const ingest = createFakeNarIngest(async (run) => {
      if (run.job.path !== null) return run.verified()
      run.events.released(await run.append(bigNar), fakeEtag)
      begun.resolve(undefined)
      await once(run.signal, 'abort')
      ended.resolve(undefined)
      throw run.signal.reason
    })
    const { made } = await full(t, { ingest })
    const { body } = await openNar(made, big.key)
    await begun.promise
    await body[Symbol.asyncDispose]()
    await ended.promise
    t.same(made.log.named('transfer.failed').length, 1, 'the one that could not be written')
  })

  t.test('of a reader that takes nothing for long is cut', async (t) => {
    const log = createSilentLog()
    const streams = createStreams({ maxTransfers: 1, log, stopping: never, stalledMs: 1 })
    const cut = gate()
    const alive = setInterval(() => undefined, 1000)
    t.teardown(() => {
      clearInterval(alive)
    })
    const { body } = streams.start(big.key, { trusted: () => [] }, async (transfer, to, signal) => {
      void to.piece(new Uint8Array(1000))
      transfer.release(500, fakeEtag)
      await once(signal, 'abort')
      cut.resolve(undefined)
    })
    t.equal(await body.read(Buffer.alloc(500), 0, never), 500)
    await cut.promise
    await t.rejects(body.read(Buffer.alloc(500), 500, never), TransferBrokenError)
    await body[Symbol.asyncDispose]()
    t.equal(log.named('stream.stalled').length, 1)
    const next = streams.start(big.key, { trusted: () => [] }, async (transfer) => {
      transfer.fail({ kind: 'absent', failures: [] })
    })
    await t.rejects(next.body.read(Buffer.alloc(1), 0, never), TransferBrokenError)
    await next.body[Symbol.asyncDispose]()
  })
})

t.test('NARs are kept again', async (t) => {
  t.test('as soon as the disk says that there is room', async (t) => {
    const { made, disk } = await worldOn(t, { error: failure('ENOSPC') })
    await fetchNar(made, key)
    Object.assign(disk, { error: null, freeBytes: 2 ** 30 })
    made.clock.advance(1000)
    await storeNar(made, key)
    t.equal(made.storing.isOn(), true)
    t.match(made.log.named('cache.storing'), [{ seconds: 1 }])
    t.match(await fetchNarinfo(made, hello), /^StorePath/)
    t.equal(made.keeper.totals().count, 1)
  })

  t.test('after a pause where nothing says that it works', async (t) => {
    const { made, disk } = await worldOn(t, { error: failure('EROFS'), freeBytes: 2 ** 30 })
    await fetchNar(made, key)
    made.clock.advance(9000)
    t.equal(await made.storing.ready(), false)
    t.equal(disk.triedTimes, 0)
    made.clock.advance(1000)
    t.equal(await made.storing.ready(), false)
    t.equal(disk.triedTimes, 1)
    disk.error = null
    made.clock.advance(10_000)
    t.equal(await made.storing.ready(), true)
  })

  t.test('after a longer pause where it did not last', async (t) => {
    const { made, disk } = await worldOn(t, { error: failure('EDQUOT'), freeBytes: 2 ** 30 })
    const relapse = async (pauseMs: number): Promise<void> => {
      disk.error = failure('EDQUOT')
      await fetchNar(made, key)
      disk.error = null
      made.clock.advance(pauseMs - 1000)
      t.equal(await made.storing.ready(), false)
      made.clock.advance(1000)
      t.equal(await made.storing.ready(), true)
    }
    await relapse(10_000)
    await relapse(20_000)
    await relapse(40_000)
    made.clock.advance(60_000)
    await relapse(10_000)
  })
})

t.test('the memory for NARs that are held', async (t) => {
  t.test('is given to each in turn', async (t) => {
    const memory = createHeldBytes(100)
    const one = await memory.take(60, never)
    const two = memory.take(60, never)
    const three = memory.take(1, never)
    t.equal(await isSettled(Promise.race([two, three])), false)
    one.shrinkTo(40)
    one.shrinkTo(60)
    await two
    t.equal(await isSettled(three), false)
    one.shrinkTo(0)
    await three
  })

  t.test('is had whole by one who wants more than there is', async (t) => {
    const memory = createHeldBytes(100)
    const one = await memory.take(1, never)
    const all = memory.take(500, never)
    t.equal(await isSettled(all), false)
    one.shrinkTo(0)
    await all
  })

  t.test('is not waited for by who is gone', async (t) => {
    const memory = createHeldBytes(100)
    const one = await memory.take(60, never)
    const leaving = new AbortController()
    const two = memory.take(100, leaving.signal)
    const three = memory.take(40, never)
    leaving.abort()
    await t.rejects(two, { name: 'AbortError' })
    await three
    one.shrinkTo(0)
  })
})
