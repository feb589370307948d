/**
 * NARs and narinfos as files, laid out as a Nix binary cache, so that `nix copy --from file://DIR` and rsync work on it:
 *
 *     nix-cache-info
 *     <hash>.narinfo
 *     nar/<hash>-<NarHash>.nar.zst   or another compression's ending
 *     .partial/                        what is being written; emptied on start
 *     quarantine/                      NARs that turned out wrong, each with a note of why
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatCacheInfo } from '../../nix/cache-info.ts'
import { maxNarinfoBytes } from '../../nix/narinfo.ts'
import type { StoreDir, StorePathHash } from '../../nix/store-path.ts'
import { isSameFile, type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { NarFile, NarStore, StagedNar } from '../../ports/nar-store.ts'
import { describedFile } from '../../nix/described-file.ts'
import {
  makeFolder,
  onDisk,
  openExisting,
  readExisting,
  statExisting,
  syncFile,
  writeDurably,
} from './disk-files.ts'
import { noteName, readInterrupted } from './interrupted-files.ts'
import { storeEntries } from './store-entries.ts'

const narinfoSuffix = '.narinfo'

/** Opens the store in `dir`, makes what is missing and sweeps what a crash left. Only one process may have it open. */
export async function openDiskNarStore(dir: string, storeDir: StoreDir): Promise<NarStore> {
  const layout = layoutIn(dir)
  const interrupted = await readInterrupted(layout.partialDir)
  await rm(layout.partialDir, { recursive: true, force: true })
  await mkdir(layout.partialDir, { recursive: true })
  await mkdir(layout.narDir, { recursive: true })
  await writeDurably(
    layout.partialDir,
    join(dir, 'nix-cache-info'),
    formatCacheInfo({ storeDir, wantMassQuery: true, priority: 40 }),
  )
  return {
    interrupted,
    pathOf: layout.narPath,
    async stage() {
      const writing = randomUUID()
      const path = join(layout.partialDir, `${writing}.nar`)
      const notePath = (key: NarFileKey): string => join(layout.partialDir, noteName(key, writing))
      await writeFile(path, '', { flag: 'wx' })
      return stagedNar(notePath, path, (key, narinfo) => commit(layout, path, key, narinfo))
    },
    async open(key) {
      const handle = await openExisting(layout.narPath(key))
      return handle && narFile(handle)
    },
    async describe(hash) {
      const text = await readExisting(layout.narinfoPath(hash))
      return text === null || text.length > maxNarinfoBytes ? null : Buffer.from(text)
    },
    async remove(key) {
      // The narinfo goes first: nothing is described that is not there.
      await removeDescription(layout, key)
      await rm(layout.narPath(key), { force: true })
    },
    async measure(key) {
      const nar = await statExisting(layout.narPath(key))
      if (nar === null) return null
      const isDescribed = (await readDescription(layout, key)) !== null
      const narinfoBytes = isDescribed ? await narinfoOnDisk(layout, key) : 0
      return { diskBytes: onDisk(nar) + narinfoBytes, modifiedMs: nar.mtimeMs }
    },
    async space() {
      const { bavail, blocks, bsize } = await statfs(dir)
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    },
    tryOut: () => tryOut(layout),
    async redescribe(key, edit) {
      const described = await readDescription(layout, key)
      if (described === null) return false
      const path = layout.narinfoPath(key.storePathHash)
      await writeDurably(layout.partialDir, path, edit(described))
      return true
    },
    async quarantine(key, why) {
      const quarantine = join(dir, 'quarantine')
      const aside = join(quarantine, narFileName(key))
      await mkdir(quarantine, { recursive: true })
      await writeDurably(layout.partialDir, `${aside}.txt`, `${why}\n`)
      await removeDescription(layout, key)
      await rename(layout.narPath(key), aside)
      await syncFile(layout.narDir)
    },
    entries: () => storeEntries(dir),
  }
}

/** Where things are in a store's folder. */
type Layout = {
  readonly dir: string
  readonly partialDir: string
  readonly narDir: string
  readonly narPath: (key: NarFileKey) => string
  readonly narinfoPath: (hash: StorePathHash) => string
}

function layoutIn(dir: string): Layout {
  const narDir = join(dir, 'nar')
  return {
    dir,
    partialDir: join(dir, '.partial'),
    narDir,
    narPath: (key) => join(narDir, narFileName(key)),
    narinfoPath: (hash) => join(dir, hash + narinfoSuffix),
  }
}

/** Makes a file that is written whole durable under its key; what it takes on disk, its narinfo included. */
async function commit(
  layout: Layout,
  path: string,
  key: NarFileKey,
  narinfo: string,
): Promise<number> {
  await syncFile(path)
  const written = await statExisting(path)
  await rename(path, layout.narPath(key))
  try {
    await syncFile(layout.narDir)
    // The narinfo comes last: nothing is described that is not there.
    await writeDurably(layout.partialDir, layout.narinfoPath(key.storePathHash), narinfo)
    await syncFile(layout.dir)
  } catch (error) {
    // A NAR that is neither described nor recorded would be evicted only after the next search for such.
    await rm(layout.narPath(key), { force: true })
    throw error
  }
  return (written === null ? 0 : onDisk(written)) + (await narinfoOnDisk(layout, key))
}

const tryOutBytes = 256 * 1024

/** Writes a file that no file system makes nothing of, durably, and removes it. Folders that somebody removed are made again. */
async function tryOut({ partialDir, narDir }: Layout): Promise<void> {
  for (const dir of [partialDir, narDir]) await makeFolder(dir)
  const path = join(partialDir, randomUUID())
  try {
    await writeFile(path, randomBytes(tryOutBytes), { flush: true })
  } finally {
    await rm(path, { force: true })
  }
}

/** The narinfo of a path, where it describes this very NAR. */
async function readDescription({ narinfoPath }: Layout, key: NarFileKey): Promise<string | null> {
  const narinfo = await readExisting(narinfoPath(key.storePathHash))
  const file = narinfo === null ? null : describedFile(narinfo)
  return file !== null && isSameFile(file, key) ? narinfo : null
}

async function removeDescription(layout: Layout, key: NarFileKey): Promise<void> {
  if ((await readDescription(layout, key)) === null) return
  await rm(layout.narinfoPath(key.storePathHash), { force: true })
}

async function narinfoOnDisk({ narinfoPath }: Layout, key: NarFileKey): Promise<number> {
  const narinfo = await statExisting(narinfoPath(key.storePathHash))
  return narinfo === null ? 0 : onDisk(narinfo)
}

function stagedNar(
  notePath: (key: NarFileKey) => string,
  path: string,
  commit: StagedNar['commit'],
): StagedNar {
  let note: string | null = null
  return {
    path,
    commit,
    noteEtag(key, etag) {
      note = notePath(key)
      return writeFile(note, etag)
    },
    open: async () => narFile(await open(path, 'r')),
    async [Symbol.asyncDispose]() {
      // After a commit the file has another name, and there is nothing to remove.
      await rm(path, { force: true })
      if (note !== null) await rm(note, { force: true })
    },
  }
}

function narFile(handle: FileHandle): NarFile {
  return {
    fd: handle.fd,
    size: async () => (await handle.stat()).size,
    read: async (buffer, position) =>
      (await handle.read(buffer, 0, buffer.length, position)).bytesRead,
    close: () => handle.close(),
  }
}
