import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { type NarFileKey, narFileName } from '../../src/nix/nar-key.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createStoreKeeper, type KeeperDeps } from '../../src/keeper/store-keeper.ts'
import { record } from '../contracts/catalog-contract.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createMemoryNarStore } from '../fakes/memory-nar-store.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { never } from '../fakes/substituter-client.ts'
import { pathHash } from '../nix/fixtures.ts'

const digits = '0123456789abcdfghijklmnpqrsvwxyz'

/** The key of a number; the numbers' order is that of the keys. */
function keyOf(number: number): NarFileKey {
  const hash = number
    .toString(32)
    .replaceAll(/[0-9a-v]/g, (digit) => digits[Number.parseInt(digit, 32)] ?? '')
    .padStart(32, '0')
  return { storePathHash: pathHash(hash), narHash: '0'.repeat(52), compression: 'zstd' }
}

type Options = Partial<KeeperDeps> & {
  readonly maxBytes?: number
  readonly lowWatermark?: number
  readonly minFreeBytes?: number
}

/** A keeper of a store in memory. */
async function keeping({ maxBytes = 1000, minFreeBytes = 0, ...options }: Options = {}) {
  const store = createMemoryNarStore()
  const catalog = openSqliteCatalog(':memory:')
  const clock = createFixedClock()
  const log = createSilentLog()
  const evicted: number[] = []
  const pinned = new Set<StorePathHash>()
  const limits = { maxBytes, lowWatermark: options.lowWatermark ?? 90, minFreeBytes }
  const deps: KeeperDeps = {
    ...{
      store,
      catalog,
      clock,
      log,
      stopping: never,
      pins: { has: (hash) => pinned.has(hash), hashes: () => pinned },
    },
    meter: createNullMeter({ narEvicted: (bytes) => evicted.push(bytes) }),
    limits: () => ({ ...limits, minFreeBytes: () => limits.minFreeBytes }),
    changed: () => undefined,
    ...options,
  }
  const keeper = await createStoreKeeper(deps)
  const keep = async (number: number, diskBytes: number): Promise<void> => {
    clock.advance(1000)
    store.nextBytes = diskBytes
    const staged = await keeper.stage()
    const usedAtMs = clock.nowMs()
    await keeper.keep(staged, { ...record('0', '0', { usedAtMs }), key: keyOf(number) }, '')
    await staged[Symbol.asyncDispose]()
    await keeper.flush()
  }
  return {
    ...{ store, catalog: deps.catalog, clock, log, keeper, keep, evicted, pinned, limits },
    /** The numbers whose NARs are in the store. */
    stored: () =>
      Array.from({ length: 20 }, (_, number) => number).filter((number) =>
        store.nars.has(narFileName(keyOf(number))),
      ),
  }
}

t.test('the limit', async (t) => {
  t.test('counts what NARs take on disk, not their length', async (t) => {
    const made = await keeping()
    await made.keep(0, 400)
    await made.keep(1, 500)
    t.same(made.keeper.totals(), { count: 2, bytes: 900 })
    t.match(made.keeper.room(), { limit: 1000, used: 900, reserved: 0, pinned: 0 })
    await made.keep(2, 101)
    t.same(made.stored(), [1, 2], 'down to the low watermark, not further')
    t.same(made.evicted, [400])
    t.same(await made.catalog.totals(), made.keeper.totals())
  })

  t.test('holds for what is being written: room is made as it grows', async (t) => {
    const made = await keeping()
    for (const number of [0, 1, 2, 3]) await made.keep(number, 200)
    const staged = await made.keeper.stage()
    staged.reserve(200)
    await made.keeper.flush()
    t.same(
      [made.stored(), made.keeper.room().reserved],
      [[0, 1, 2, 3], 200],
      'up to the limit nothing goes',
    )
    staged.reserve(100)
    t.equal(made.keeper.room().used, 1000, 'what was said before stays said')
    staged.reserve(300)
    await made.keeper.flush()
    t.same([made.stored(), made.keeper.room().used], [[1, 2, 3], 900])
    await staged[Symbol.asyncDispose]()
    t.match(made.keeper.room(), { used: 600, reserved: 0 }, 'what is not kept gives its room back')
    staged.reserve(500)
    t.equal(made.keeper.room().reserved, 0)
  })

  t.test('is not broken by one NAR: it takes the room of half the cache at most', async (t) => {
    const made = await keeping()
    for (const number of [0, 1, 2, 3]) await made.keep(number, 200)
    const staged = await made.keeper.stage()
    staged.reserve(100_000)
    await made.keeper.flush()
    t.same([made.stored(), made.keeper.room().reserved], [[2, 3], 500])
    await staged[Symbol.asyncDispose]()
    t.equal(made.keeper.room().reserved, 0)
  })

  t.test('counts what is kept once', async (t) => {
    const made = await keeping()
    const staged = await made.keeper.stage()
    staged.reserve(600)
    made.store.nextBytes = 500
    await made.keeper.keep(staged, { ...record('0', '0'), key: keyOf(0) }, '')
    t.match(made.keeper.room(), { used: 500, reserved: 0 })
    await staged[Symbol.asyncDispose]()
    await made.keep(0, 300)
    t.same(made.keeper.totals(), { count: 1, bytes: 300 }, 'a record that is replaced')
  })

  t.test('that was lowered is kept to without anything coming', async (t) => {
    const made = await keeping()
    for (const number of [0, 1, 2]) await made.keep(number, 300)
    made.limits.maxBytes = 500
    await made.keeper.tend()
    t.same(made.stored(), [2])
  })

  t.test('is not waited for by who asks for a sweep: it goes to the low watermark', async (t) => {
    const made = await keeping()
    for (const number of [0, 1, 2, 3]) await made.keep(number, 240)
    t.same(await made.keeper.sweep(), { nars: 1, bytes: 240 })
    t.same(await made.keeper.sweep(), { nars: 0, bytes: 0 })
    t.same(made.stored(), [1, 2, 3])
  })
})

t.test('the floor of free space', async (t) => {
  t.test('is kept to however small the cache is, and a little more is freed', async (t) => {
    const made = await keeping({ maxBytes: 10_000, minFreeBytes: 1000 })
    made.store.disk.freeBytes = 2000
    for (const number of [0, 1, 2, 3]) await made.keep(number, 200)
    t.same(made.stored(), [0, 1, 2, 3])
    t.match(made.keeper.room(), { free: 1200, minFree: 1000 })
    made.store.disk.freeBytes = 990
    await made.keeper.tend()
    t.same(made.stored(), [1, 2, 3], 'somebody else filled the disk')
    t.equal(made.store.disk.freeBytes, 1190)
  })

  t.test(
    'costs a file system that is slow to show what is free no more than is missing',
    async (t) => {
      const made = await keeping({ maxBytes: 10_000, minFreeBytes: 1000 })
      made.store.space = () => Promise.resolve({ freeBytes: 900, totalBytes: 10_000 })
      for (const number of [0, 1, 2, 3, 4]) await made.keep(number, 100)
      made.clock.advance(60_000)
      await made.keeper.tend()
      const before = made.stored().length
      await made.keeper.tend()
      made.clock.advance(1000)
      await made.keeper.tend()
      t.equal(made.stored().length, before)
    },
  )

  t.test('that cannot be kept to is told of once, until there is room again', async (t) => {
    const made = await keeping({ minFreeBytes: 1000 })
    await made.keep(0, 100)
    made.store.disk.freeBytes = 0
    for (let times = 0; times < 3; times += 1) {
      made.clock.advance(60_000)
      await made.keeper.tend()
    }
    t.same(made.stored(), [])
    t.match(made.log.named('cache.full'), [{ freeBytes: 0, minFreeBytes: 1000, limitBytes: 1000 }])
    t.equal(made.log.named('cache.full').length, 1)
    made.store.disk.freeBytes = 5000
    made.clock.advance(60_000)
    await made.keeper.tend()
    made.store.disk.freeBytes = 0
    made.clock.advance(60_000)
    await made.keeper.tend()
    t.equal(made.log.named('cache.full').length, 2, 'it is full again')
  })

  t.test('that cannot be looked at evicts nothing, and is told of', async (t) => {
    const made = await keeping({ minFreeBytes: 1000 })
    made.store.space = () => Promise.reject(new Error('the disk is gone'))
    await made.keep(0, 100)
    t.same(made.stored(), [0])
    t.match(made.log.named('eviction.failed'), [{ err: { message: 'the disk is gone' } }])
  })
})

t.test('what is pinned', async (t) => {
  t.test('stays, whether the limit or the floor wants room', async (t) => {
    const made = await keeping({ minFreeBytes: 1000 })
    made.pinned.add(keyOf(0).storePathHash).add(keyOf(2).storePathHash)
    for (const number of [0, 1, 2, 3, 4]) await made.keep(number, 250)
    t.same(made.stored(), [0, 2, 4])
    t.equal(made.keeper.room().pinned, 500)
    made.store.disk.freeBytes = 0
    await made.keeper.tend()
    t.same(made.stored(), [0, 2])
    t.equal(made.log.named('cache.full').length, 1)
  })

  t.test('is counted anew when the pins change, and goes again once let go of', async (t) => {
    const made = await keeping()
    for (const number of [0, 1, 2]) await made.keep(number, 300)
    made.pinned.add(keyOf(0).storePathHash).add(keyOf(9).storePathHash)
    await made.keeper.pinsChanged()
    t.equal(made.keeper.room().pinned, 300)
    await made.keep(9, 50)
    t.equal(made.keeper.room().pinned, 350, 'a member that arrives later is pinned too')
    await made.keeper.drop({ key: keyOf(9) })
    t.equal(made.keeper.room().pinned, 300, 'a recall takes it all the same')
    made.pinned.clear()
    await made.keeper.pinsChanged()
    t.equal(made.keeper.room().pinned, 0)
    await made.keep(3, 300)
    t.same(made.stored(), [1, 2, 3])
  })
})

t.test('what has no record', async (t) => {
  const old = { modifiedMs: 0, diskBytes: 300 }

  t.test('and is not described goes after a while, not at once', async (t) => {
    const made = await keeping()
    made.store.leave(keyOf(0), { ...old, isDescribed: false })
    made.store.leave(keyOf(1), { diskBytes: 1, modifiedMs: made.clock.nowMs(), isDescribed: false })
    await made.keep(2, 100)
    await made.keeper.findOrphans(never)
    t.same(made.stored(), [1, 2], 'a young one may be on its way to its record')
    made.clock.advance(3_600_000)
    await made.keeper.findOrphans(never)
    t.same(made.stored(), [2])
  })

  t.test('and is described counts, and is the first to go where room is wanted', async (t) => {
    const made = await keeping()
    made.store.leave(keyOf(9), { ...old, isDescribed: true })
    await made.keep(0, 300)
    await made.keeper.findOrphans(never)
    await made.keeper.findOrphans(never)
    t.match(made.keeper.room(), { used: 600 })
    t.same(made.keeper.totals(), { count: 1, bytes: 300 })
    await made.keep(1, 300)
    t.same(made.stored(), [0, 1, 9])
    await made.keep(2, 200)
    t.same(made.stored(), [0, 1, 2])
    t.match(made.keeper.room(), { used: 800 })
    t.notOk(made.store.narinfos.has(keyOf(9).storePathHash), 'its narinfo goes with it')
  })

  t.test('and gets one is counted once', async (t) => {
    const made = await keeping()
    made.store.leave(keyOf(0), { ...old, isDescribed: true })
    await made.keeper.findOrphans(never)
    await made.keeper.adopt({ ...record('0', '0'), key: keyOf(0) })
    t.match(made.keeper.room(), { used: 300 })
    t.same(made.keeper.totals(), { count: 1, bytes: 300 })
  })

  t.test('since its file could not be removed counts, and is removed later', async (t) => {
    const made = await keeping()
    await made.keep(0, 300)
    made.store.failure = new Error('read-only')
    await t.rejects(made.keeper.drop({ key: keyOf(0) }))
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.equal(made.keeper.room().used, 300)
    made.store.failure = null
    made.limits.maxBytes = 100
    await made.keeper.tend()
    t.same(made.stored(), [])
    t.equal(made.keeper.room().used, 0)
  })

  t.test('goes as a narinfo whose NAR is not there; one whose NAR is there stays', async (t) => {
    const made = await keeping()
    await made.keep(0, 100)
    made.store.describeNar(keyOf(1))
    await made.keeper.findOrphans(never)
    t.same([...made.store.narinfos.keys()], [keyOf(0).storePathHash])
  })

  t.test('is no longer looked for when Weir stops', async (t) => {
    const made = await keeping()
    await made.keep(0, 100)
    await t.rejects(made.keeper.findOrphans(AbortSignal.abort()))
  })
})

t.test('a sweep of a large cache', async (t) => {
  const count = 100_000
  const catalog = openSqliteCatalog(':memory:')
  const put: Promise<unknown>[] = []
  for (let number = 0; number < count; number += 1) {
    const bytes = { diskBytes: 10, usedAtMs: number }
    put.push(catalog.put({ ...record('0', '0', bytes), key: keyOf(number) }))
  }
  await Promise.all(put)

  t.test('lets others work after every few NARs, and takes the oldest tenth', async (t) => {
    let [inOneGo, most] = [0, 0]
    const counted: Catalog = {
      ...catalog,
      leastRecentlyUsed: (limit, after) => {
        t.ok(limit <= 100)
        return catalog.leastRecentlyUsed(limit, after)
      },
      remove: (key) => {
        inOneGo += 1
        most = Math.max(most, inOneGo)
        return catalog.remove(key)
      },
    }
    const made = await keeping({ catalog: counted, maxBytes: count * 10 })
    const sweeping = made.keeper.sweep()
    let turns = 0
    for (let wasSwept = true; wasSwept; turns += 1) {
      await setImmediate()
      wasSwept = inOneGo > 0 || turns < 10
      inOneGo = 0
    }
    t.same(await sweeping, { nars: count / 10, bytes: count })
    t.ok(most <= 100, `${most} in one go`)
    t.ok(turns >= count / 10 / 100)
    t.match(await catalog.leastRecentlyUsed(1, null), [{ usedAtMs: count / 10 }])
  })

  t.test('goes past what is pinned, however much that is', async (t) => {
    const pinned = {
      has: (hash: StorePathHash) => hash < keyOf(50_000).storePathHash,
      hashes: () => [],
    }
    const made = await keeping({ catalog, maxBytes: 899_990, lowWatermark: 100, pins: pinned })
    await made.keeper.flush()
    t.equal(made.keeper.totals().bytes, 899_990)
    t.strictSame(await catalog.find(keyOf(50_000).storePathHash), [])
  })

  t.test('ends when Weir stops', async (t) => {
    const made = await keeping({ catalog, maxBytes: 10, stopping: AbortSignal.abort() })
    await made.keeper.flush()
    t.equal(made.keeper.totals().count, 89_999)
  })
})
