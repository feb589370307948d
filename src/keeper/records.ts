import type { NarFileKey } from '../nix/nar-key.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { NarStore } from '../ports/nar-store.ts'
import type { CacheSize } from './cache-size.ts'
import type { Orphans } from './orphans.ts'
import type { PinnedCount } from './pinned-count.ts'
import type { OneByOne } from './one-by-one.ts'
import { isNoRoom, storageCode } from './storage-code.ts'

/** The records of what is stored, with everything that is counted beside them. */
export type Records = {
  /** In the path's turn. */
  readonly put: (stored: StoredNar) => Promise<void>
  /** Records those of which there is no record yet; how many. */
  readonly putMissing: (found: readonly StoredNar[]) => Promise<number>
  /** Removes a record and its file; nothing where there is no record. */
  readonly drop: (stored: Pick<StoredNar, 'key'>) => Promise<void>
}

export type RecordsDeps = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly size: CacheSize
  readonly orphans: Orphans
  readonly pinned: PinnedCount
  readonly inTurn: OneByOne
  readonly changed: (key: NarFileKey) => void
}

export function createRecords(deps: RecordsDeps): Records {
  const { store, catalog, size, orphans, pinned, inTurn } = deps
  const removeRecord = async (key: NarFileKey): Promise<number | null> => {
    try {
      return await catalog.remove(key)
    } catch (error) {
      if (!isNoRoom(storageCode(error))) throw error
      // A full disk has no room to note that it gets some.
      await store.remove(key)
      return await catalog.remove(key)
    }
  }
  const dropNow = async (key: NarFileKey): Promise<void> => {
    // The record goes first: a file without a record is found again, a record without a file would be a lie.
    const diskBytes = await removeRecord(key)
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
  }
  return {
    async put(stored) {
      const { key, diskBytes } = stored
      const replaced = await catalog.put(stored)
      size.came(diskBytes, replaced)
      pinned.grew(key, diskBytes - (replaced ?? 0))
      orphans.settled(key)
      deps.changed(key)
    },
    async putMissing(found) {
      const added = await catalog.putMissing(found)
      for (const { key, diskBytes } of added) {
        size.came(diskBytes, null)
        pinned.grew(key, diskBytes)
        orphans.settled(key)
        deps.changed(key)
      }
      return added.length
    },
    drop: ({ key }) => inTurn(key.storePathHash, () => dropNow(key)),
  }
}
