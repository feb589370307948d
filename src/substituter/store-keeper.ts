import type { NarFileKey } from '../nix/nar-key.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { NarStore, StagedNar } from '../ports/nar-store.ts'

/** The store's book-keeper: it keeps NARs with their records, and removes the least recently used above the limit. */
export type StoreKeeper = {
  /** Keeps a verified NAR: the file becomes durable first, then its record. */
  keep(staged: StagedNar, stored: StoredNar, narinfo: string): Promise<void>
  /** Records a file that is in the store without a record. */
  adopt(stored: StoredNar): Promise<void>
  /** Notes a use, written in batches. */
  used(key: NarFileKey): void
  /** Forgets a NAR, and removes its file. */
  drop(stored: StoredNar): Promise<void>
  /** NARs in the store, and their bytes. */
  totals(): { readonly count: number; readonly bytes: number }
  /** Writes what is not written yet. */
  flush(): Promise<void>
}

export type KeeperDeps = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  /** The limit of now. */
  readonly maxBytes: () => number
  /** Called with each NAR that came or went, so that answers about it are made anew. */
  readonly changed: (key: NarFileKey) => void
}

const sweepBatch = 64
/** A sweep goes on to this part of the limit, so that the next one is not due at once. */
const lowWatermark = 0.95
const maxUnwrittenUses = 1000

export async function createStoreKeeper(deps: KeeperDeps): Promise<StoreKeeper> {
  const { store, catalog, clock, log, meter } = deps
  let { count, bytes } = await catalog.totals()
  const uses = new Map<string, NarFileKey>()
  let sweeping: Promise<void> | null = null

  const record = async (stored: StoredNar): Promise<void> => {
    const replaced = (await catalog.find(stored.key.storePathHash)).find(
      ({ key }) => key.narHash === stored.key.narHash,
    )
    await catalog.put(stored)
    count += replaced === undefined ? 1 : 0
    bytes += stored.fileBytes - (replaced?.fileBytes ?? 0)
    deps.changed(stored.key)
  }

  const drop = async (stored: StoredNar): Promise<void> => {
    // The record goes first: a file without a record is swept or adopted, a record without a file would be a lie.
    if (!(await catalog.remove(stored.key))) return
    count -= 1
    bytes -= stored.fileBytes
    deps.changed(stored.key)
    await store.remove(stored.key)
  }

  const flush = async (): Promise<void> => {
    const keys = [...uses.values()]
    uses.clear()
    if (keys.length > 0) await catalog.touch(keys, clock.nowMs())
  }

  const sweep = async (): Promise<void> => {
    await flush()
    while (bytes > deps.maxBytes() * lowWatermark) {
      const oldest = await catalog.leastRecentlyUsed(sweepBatch)
      if (oldest.length === 0) return
      for (const stored of oldest) {
        if (bytes <= deps.maxBytes() * lowWatermark) return
        await drop(stored)
        meter.narEvicted(stored.fileBytes)
        log.debug({ event: 'nar.evicted', nar: stored.key, bytes: stored.fileBytes })
      }
    }
  }

  const sweepWhereDue = (): void => {
    if (bytes <= deps.maxBytes() || sweeping !== null) return
    sweeping = sweep()
      .catch((error: unknown) => {
        log.error({ event: 'eviction.failed', err: error })
      })
      .finally(() => {
        sweeping = null
      })
  }
  sweepWhereDue()

  return {
    async keep(staged, stored, narinfo) {
      await staged.commit(stored.key, narinfo)
      await record(stored)
      sweepWhereDue()
    },
    adopt: record,
    used(key) {
      uses.set(`${key.storePathHash}${key.narHash}`, key)
      if (uses.size >= maxUnwrittenUses) {
        flush().catch((error: unknown) => {
          log.error({ event: 'catalog.failed', err: error })
        })
      }
    },
    drop,
    totals: () => ({ count, bytes }),
    async flush() {
      await flush()
      await sweeping
    },
  }
}
