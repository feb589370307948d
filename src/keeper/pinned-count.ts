import { setImmediate } from 'node:timers/promises'
import type { NarFileKey } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import type { CacheSize } from './cache-size.ts'

/** What eviction must leave alone. */
export type PinnedHashes = {
  has(hash: StorePathHash): boolean
  /** Every hash that is pinned, perhaps some of them twice. */
  hashes(): Iterable<StorePathHash>
}

/** Keeps count of what the pinned NARs take. */
export type PinnedCount = {
  /** A NAR takes more than before, or (negative) less; what is not pinned is passed over. */
  readonly grew: (key: NarFileKey, bytes: number) => void
  /** Counts anew, some NARs at a time: other hashes are pinned than before. */
  readonly count: () => Promise<void>
  /** Resolves when nothing is being counted. */
  readonly idle: () => Promise<void>
}

export type PinnedCountDeps = {
  readonly size: CacheSize
  readonly catalog: Catalog
  readonly log: Log
  readonly pins: PinnedHashes
}

const sliceHashes = 50

export function createPinnedCount({ size, catalog, log, pins }: PinnedCountDeps): PinnedCount {
  let changes = 0
  let last: Promise<void> = Promise.resolve()

  const countOnce = async (): Promise<number> => {
    let bytes = 0
    let seen = 0
    for (const hash of new Set(pins.hashes())) {
      for (const stored of await catalog.find(hash)) bytes += stored.diskBytes
      seen += 1
      if (seen % sliceHashes === 0) await setImmediate()
    }
    return bytes
  }
  const countNow = async (): Promise<void> => {
    for (;;) {
      const before = changes
      const bytes = await countOnce()
      // What came or went meanwhile is in it, or is not.
      if (changes !== before) continue
      size.setPinned(bytes)
      return
    }
  }
  return {
    grew(key, bytes) {
      if (!pins.has(key.storePathHash)) return
      changes += 1
      size.setPinned(size.pinned + bytes)
    },
    count() {
      changes += 1
      last = last.then(countNow).catch((error: unknown) => {
        log.error({ event: 'catalog.failed', err: error })
      })
      return last
    },
    idle: () => last,
  }
}
