import { describedFile } from '../../src/nix/described-file.ts'
import { type NarFileKey, narFileName } from '../../src/nix/nar-key.ts'
import type { StorePathHash } from '../../src/nix/store-path.ts'
import type { DiskSpace, NarStore } from '../../src/ports/nar-store.ts'

type Kept = { readonly key: NarFileKey; diskBytes: number; modifiedMs: number }

/** A store of sizes alone: what a NAR takes on disk is what a test says, and nothing can be read. */
export type MemoryNarStore = NarStore & {
  readonly nars: ReadonlyMap<string, Kept>
  readonly narinfos: ReadonlyMap<StorePathHash, string>
  /** What is removed is free again, and what comes is not. */
  readonly disk: { freeBytes: number; totalBytes: number }
  /** Puts a NAR there as a crash leaves it: with a narinfo that describes it, or without. */
  leave(
    key: NarFileKey,
    file: { diskBytes: number; modifiedMs: number; isDescribed: boolean },
  ): void
  /** Puts a narinfo there that describes a NAR. */
  describeNar(key: NarFileKey): void
  /** What the next removals throw, where it is set. */
  failure: Error | null
  /** What the next commit says that its NAR takes on disk. */
  nextBytes: number
}

export function createMemoryNarStore(): MemoryNarStore {
  const nars = new Map<string, Kept>()
  const narinfos = new Map<StorePathHash, string>()
  const disk: { freeBytes: number; totalBytes: number } = {
    freeBytes: 2 ** 40,
    totalBytes: 2 ** 40,
  }
  const narinfoOf = (key: NarFileKey): string => `URL: nar/${narFileName(key)}\n`
  const add = (kept: Kept): void => {
    nars.set(narFileName(kept.key), kept)
    disk.freeBytes -= kept.diskBytes
  }
  const store: MemoryNarStore = {
    ...{ nars, narinfos, disk, failure: null, nextBytes: 0 },
    leave(key, { isDescribed, ...file }) {
      add({ key, ...file })
      if (isDescribed) store.describeNar(key)
    },
    describeNar(key) {
      narinfos.set(key.storePathHash, narinfoOf(key))
    },
    interrupted: [],
    pathOf: (key) => narFileName(key),
    stage: () =>
      Promise.resolve({
        path: '/nowhere',
        noteEtag: () => Promise.resolve(),
        open: () => Promise.reject(new Error('there is nothing to read')),
        commit: (key) => {
          store.leave(key, { diskBytes: store.nextBytes, modifiedMs: 0, isDescribed: true })
          return Promise.resolve(store.nextBytes)
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
    open: () => Promise.resolve(null),
    describe: (hash) => {
      const text = narinfos.get(hash)
      return Promise.resolve(text === undefined ? null : Buffer.from(text))
    },
    remove(key) {
      if (store.failure !== null) return Promise.reject(store.failure)
      const name = narFileName(key)
      disk.freeBytes += nars.get(name)?.diskBytes ?? 0
      nars.delete(name)
      if (narinfos.get(key.storePathHash) === narinfoOf(key)) narinfos.delete(key.storePathHash)
      return Promise.resolve()
    },
    measure: (key) => Promise.resolve(nars.get(narFileName(key)) ?? null),
    redescribe: () => Promise.resolve(false),
    quarantine: () => Promise.resolve(),
    async *entries() {
      for (const { key } of [...nars.values()]) yield await Promise.resolve({ kind: 'nar', key })
      for (const [hash, text] of [...narinfos]) {
        yield { kind: 'narinfo', hash, describes: describedFile(text) }
      }
    },
    space: (): Promise<DiskSpace> => Promise.resolve({ ...disk }),
    tryOut: () => Promise.resolve(),
  }
  return store
}
