import type { NarFileKey } from '../../src/nix/nar-key.ts'
import type { NarFile, NarStore } from '../../src/ports/nar-store.ts'

/** A store that counts what is open in it. What its NARs take on disk is their length, on any file system. */
export type CountingStore = NarStore & { readonly openFiles: number; readonly stagedFiles: number }

export function countingStore(store: NarStore): CountingStore {
  let openFiles = 0
  let stagedFiles = 0
  const counted = (file: NarFile): NarFile => {
    openFiles += 1
    let isOpen = true
    return {
      fd: file.fd,
      size: () => file.size(),
      read: (buffer, position) => file.read(buffer, position),
      close: async () => {
        if (!isOpen) throw new Error('a file was closed twice')
        isOpen = false
        await file.close()
        openFiles -= 1
      },
    }
  }
  const length = async (key: NarFileKey): Promise<number> => {
    const file = await store.open(key)
    const bytes = (await file?.size()) ?? 0
    await file?.close()
    return bytes
  }
  return {
    get openFiles() {
      return openFiles
    },
    get stagedFiles() {
      return stagedFiles
    },
    interrupted: store.interrupted,
    pathOf: (key) => store.pathOf(key),
    stage: async () => {
      const staged = await store.stage()
      stagedFiles += 1
      return {
        path: staged.path,
        noteEtag: (key, etag) => staged.noteEtag(key, etag),
        open: async () => counted(await staged.open()),
        commit: async (key, narinfo) => {
          await staged.commit(key, narinfo)
          return await length(key)
        },
        [Symbol.asyncDispose]: async () => {
          await staged[Symbol.asyncDispose]()
          stagedFiles -= 1
        },
      }
    },
    open: async (key) => {
      const file = await store.open(key)
      return file && counted(file)
    },
    describe: (hash) => store.describe(hash),
    remove: (key) => store.remove(key),
    measure: async (key) => {
      const measured = await store.measure(key)
      return measured && { ...measured, diskBytes: await length(key) }
    },
    redescribe: (key, edit) => store.redescribe(key, edit),
    quarantine: (key, why) => store.quarantine(key, why),
    entries: () => store.entries(),
    space: () => store.space(),
    tryOut: () => store.tryOut(),
  }
}
