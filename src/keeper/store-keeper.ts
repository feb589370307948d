import type { NarFileKey } from '../nix/nar-key.ts'
import type { Catalog, StoredNar, UnmeasuredNar } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { NarStore } from '../ports/nar-store.ts'
import type { CacheLimits } from './cache-limits.ts'
import { CacheSize } from './cache-size.ts'
import { createFreeSpace } from './free-space.ts'
import { createOrphans } from './orphans.ts'
import { createPinnedCount, type PinnedHashes } from './pinned-count.ts'
import { createRecords } from './records.ts'
import { createRoomKeeper } from './room-keeper.ts'
import { stageIn, type StagedRoom } from './staged-room.ts'
import type { SweepReport } from './sweeper.ts'
import { createOneByOne, type OneByOne } from './one-by-one.ts'
import { createUses } from './uses.ts'

/** The store's book-keeper: it keeps NARs with their records, and removes the least recently used where there is no room. */
export type StoreKeeper = {
  /** A new, empty file to write a NAR to, whose room is counted. */
  stage(): Promise<StagedRoom>
  /** Whether a NAR of so many bytes could stay in the cache: what is larger than all of it may be would only drive the others out. */
  couldStay(key: NarFileKey, bytes: number): boolean
  /** Keeps a verified NAR: the file becomes durable first, then its record. */
  keep(staged: StagedRoom, stored: UnmeasuredNar, narinfo: string): Promise<void>
  /** Records a file that is in the store without a record, or records it anew; nothing where it is gone meanwhile. */
  adopt(stored: UnmeasuredNar): Promise<void>
  /** Records what was found in the store and has no record; how many had none. */
  restore(found: readonly StoredNar[]): Promise<number>
  /** Takes the totals from the catalog, which is another one now. */
  recount(): Promise<void>
  /** Runs what changes a path's files, under its hash, beside this keeper's own work and never at the same time. */
  readonly inTurn: OneByOne
  /** Notes a use, written in batches. */
  used(key: NarFileKey): void
  /** Forgets a NAR, and removes its file. */
  drop(stored: Pick<StoredNar, 'key'>): Promise<void>
  /** NARs in the store that have a record, and the bytes that they take on disk. */
  totals(): { readonly count: number; readonly bytes: number }
  /** How much room there is, as far as it is known. */
  room(): Room
  /**
   * Evicts down to the low watermark, or to `downToBytes`, and to the floor of free space, whether or not it is due; tells what went.
   */
  sweep(downToBytes?: number): Promise<SweepReport>
  /** Evicts so many bytes, as far as there are, and what is due besides; whether anything went. */
  makeRoom(bytes: number): Promise<boolean>
  /** Evicts where it is due: others fill disks too, and limits change. */
  tend(): Promise<void>
  /** Finds what is in the store without a record, some files at a time. */
  findOrphans(signal: AbortSignal): Promise<void>
  /** Counts anew what is pinned, after the pins changed. */
  pinsChanged(): Promise<void>
  /** Writes what is not written yet, and waits for a sweep that runs. */
  flush(): Promise<void>
}

/** All in bytes. */
export type Room = {
  /** The most that the cache may take. */
  readonly limit: number
  /** What it takes: NARs, also those without a record, and what is being written. */
  readonly used: number
  /** The part of it that is being written. */
  readonly reserved: number
  /** The part of it that is never evicted. */
  readonly pinned: number
  /** What is free on the file system, when it was looked at last; `null` before. */
  readonly free: number | null
  /** What of it is to stay free. */
  readonly minFree: number
}

export type KeeperDeps = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  readonly limits: () => CacheLimits
  readonly pins: PinnedHashes
  /** Aborted when a sweep must end, finished or not. */
  readonly stopping: AbortSignal
  /** Called with each NAR that came or went, so that answers about it are made anew. */
  readonly changed: (key: NarFileKey) => void
}

/** What one NAR that is being written may take of the cache's room, at most. */
const mostStaged = 0.5

export async function createStoreKeeper(deps: KeeperDeps): Promise<StoreKeeper> {
  const { store, catalog, pins } = deps
  const size = new CacheSize(await catalog.totals())
  // A file that is being removed has the name of the one that is kept next.
  const inTurn = createOneByOne()
  const orphans = createOrphans({
    ...{ ...deps, inTurn },
    changed: (bytes) => {
      size.setOrphaned(bytes)
    },
  })
  const free = createFreeSpace({
    ...deps,
    minFreeBytes: (totalBytes) => deps.limits().minFreeBytes(totalBytes),
  })
  const uses = createUses(deps)
  const pinned = createPinnedCount({ ...deps, size })
  const records = createRecords({ ...deps, size, orphans, pinned, inTurn })
  const room = createRoomKeeper({
    ...{ ...deps, size, free, orphans, drop: records.drop },
    // A catalog that cannot be written does not keep room from being made.
    flushUses: () =>
      uses.write().catch((error: unknown) => {
        deps.log.error({ event: 'catalog.failed', err: error })
      }),
    isPinned: (hash) => pins.has(hash),
  })
  void pinned.count()
  room.due()
  return {
    stage: async () =>
      stageIn(size, await store.stage(), {
        mostBytes: deps.limits().maxBytes * mostStaged,
        grown: room.grew,
      }),
    couldStay: ({ storePathHash }, bytes) =>
      bytes <= deps.limits().maxBytes || pins.has(storePathHash),
    inTurn,
    async keep(staged, stored, narinfo) {
      await inTurn(stored.key.storePathHash, async () => {
        const diskBytes = await staged.commit(stored.key, narinfo)
        try {
          await records.put({ ...stored, diskBytes })
        } catch (error) {
          // Without a record it would only take room until it is looked for, and room may be what the record lacks.
          await store.remove(stored.key)
          throw error
        }
      })
      // From here on its room is the record's.
      staged.release()
      room.due()
    },
    adopt: (stored) =>
      inTurn(stored.key.storePathHash, async () => {
        const measured = await store.measure(stored.key)
        if (measured === null) return
        await records.put({ ...stored, diskBytes: measured.diskBytes })
      }),
    async restore(found) {
      const restored = await records.putMissing(found)
      room.due()
      return restored
    },
    async recount() {
      size.recount(await catalog.totals())
      await pinned.count()
    },
    used: uses.note,
    drop: records.drop,
    totals: () => ({ count: size.count, bytes: size.recorded }),
    room: () => ({
      ...{ limit: deps.limits().maxBytes, used: size.used, reserved: size.reserved },
      ...{ pinned: size.pinned, free: free.last(), minFree: free.floor() },
    }),
    sweep: room.sweep,
    makeRoom: room.make,
    tend: room.tend,
    findOrphans: (signal) => orphans.find(signal),
    pinsChanged: pinned.count,
    async flush() {
      await uses.write()
      await pinned.idle()
      await room.idle()
    },
  }
}
