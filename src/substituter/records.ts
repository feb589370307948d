import type { NarFileKey } from '../nix/nar-key.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { NarStore } from '../ports/nar-store.ts'
import type { CacheSize } from './cache-size.ts'
import type { Orphans } from './orphans.ts'
import type { PinnedCount } from './pinned-count.ts'

/** The records of what is stored, with everything that is counted beside them. */
export type Records = {
  readonly put: (stored: StoredNar) => Promise<void>
  /** Removes a record and its file; nothing where there is no record. */
  readonly drop: (stored: Pick<StoredNar, 'key'>) => Promise<void>
}

export type RecordsDeps = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly size: CacheSize
  readonly orphans: Orphans
  readonly pinned: PinnedCount
  readonly changed: (key: NarFileKey) => void
}

export function createRecords(deps: RecordsDeps): Records {
  const { store, catalog, size, orphans, pinned } = deps
  return {
    async put(stored) {
      const { key, diskBytes } = stored
      const replaced = await catalog.put(stored)
      size.came(diskBytes, replaced)
      pinned.grew(key, diskBytes - (replaced ?? 0))
      orphans.settled(key)
      deps.changed(key)
    },
    async drop({ key }) {
      // The record goes first: a file without a record is found again, a record without a file would be a lie.
      const diskBytes = await catalog.remove(key)
      if (diskBytes === null) return
      size.went(diskBytes)
      pinned.grew(key, -diskBytes)
      deps.changed(key)
      try {
        await store.remove(key)
      } catch (error) {
        orphans.note(key, diskBytes)
        throw error
      }
    },
  }
}
