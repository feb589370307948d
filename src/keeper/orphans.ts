import { setImmediate } from 'node:timers/promises'
import { describedFile } from '../nix/described-file.ts'
import { isSameFile, type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { MeasuredNar, NarStore, StoreEntry } from '../ports/nar-store.ts'
import type { OneByOne } from './one-by-one.ts'

/** A NAR in the store without a record, and what it takes on disk. */
type Orphan = { readonly key: NarFileKey; readonly bytes: number }

/**
 * The NARs in the store that have no record: a crash came between a file and its record, or a file could not be removed with it, or the
 * catalog was lost, or somebody put them there. One that a narinfo describes is taken up when a client asks for it, and until then is the
 * first to go where room is wanted; one that nothing describes goes at once. So does a narinfo whose NAR is not there.
 */
export type Orphans = {
  /** Looks for them, some files at a time: a store may have millions. */
  find(signal: AbortSignal): Promise<void>
  /** Notes a file whose record is gone, and that is still there. */
  note(key: NarFileKey, bytes: number): void
  /** Forgets one: it has a record, or is gone. */
  settled(key: NarFileKey): void
  /** Removes one; resolves to what it took, `null` where none is known. */
  removeOne(): Promise<number | null>
}

export type OrphanDeps = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Log
  readonly inTurn: OneByOne
  /** Told of what all of them take, each time that it changes. */
  readonly changed: (bytes: number) => void
}

/** A younger file may be on its way to its record. */
const graceMs = 10 * 60_000
const sliceFiles = 32
/** So many are kept in mind; there may be more, that are found when these are gone. */
const maxKnown = 100_000

export function createOrphans(deps: OrphanDeps): Orphans {
  const { store, catalog, clock, log, inTurn } = deps
  const known = new Map<string, Orphan>()
  let bytes = 0
  const settled = (key: NarFileKey): void => {
    const name = narFileName(key)
    bytes -= known.get(name)?.bytes ?? 0
    if (known.delete(name)) deps.changed(bytes)
  }
  const note = (key: NarFileKey, its: number): void => {
    settled(key)
    known.set(narFileName(key), { key, bytes: its })
    bytes += its
    deps.changed(bytes)
  }
  const isRecorded = async (key: NarFileKey): Promise<boolean> =>
    (await catalog.find(key.storePathHash)).some((stored) => isSameFile(stored.key, key))
  const isYoung = ({ modifiedMs }: MeasuredNar): boolean => clock.nowMs() - modifiedMs < graceMs

  const lookAtNar = async (key: NarFileKey): Promise<void> => {
    if (await isRecorded(key)) return
    const measured = await store.measure(key)
    if (measured === null || isYoung(measured)) return
    const narinfo = await store.describe(key.storePathHash)
    const described = narinfo === null ? null : describedFile(Buffer.from(narinfo).toString())
    if (described !== null && isSameFile(described, key)) {
      note(key, measured.diskBytes)
    } else {
      log.info({ event: 'orphan.removed', nar: narFileName(key), bytes: measured.diskBytes })
      await store.remove(key)
      settled(key)
    }
  }

  /** A narinfo comes after its NAR and goes before it: without it, nobody is about to bring it. */
  const lookAtNarinfo = async (hash: StorePathHash, key: NarFileKey | null): Promise<void> => {
    if ((await catalog.find(hash)).length > 0) return
    if (key?.storePathHash !== hash || (await store.measure(key)) !== null) return
    log.info({ event: 'orphan.removed', narinfo: hash })
    await store.remove(key)
  }

  const lookAt = async (entry: StoreEntry): Promise<void> => {
    switch (entry.kind) {
      case 'nar':
        return inTurn(entry.key.storePathHash, () => lookAtNar(entry.key))
      case 'narinfo':
        return inTurn(entry.hash, () => lookAtNarinfo(entry.hash, entry.describes))
      case 'other':
    }
  }

  /** False where somebody asked for it meanwhile. */
  const removeUnrecorded = async (key: NarFileKey): Promise<boolean> => {
    if (await isRecorded(key)) return false
    await store.remove(key)
    return true
  }

  return {
    note,
    settled,
    async find(signal) {
      let seen = 0
      for await (const entry of store.entries()) {
        signal.throwIfAborted()
        if (known.size >= maxKnown) return
        await lookAt(entry)
        seen += 1
        if (seen % sliceFiles === 0) await setImmediate()
      }
    },
    async removeOne() {
      for (const { key, bytes: its } of known.values()) {
        settled(key)
        const isRemoved = await inTurn(key.storePathHash, () => removeUnrecorded(key))
        if (isRemoved) return its
      }
      return null
    },
  }
}
