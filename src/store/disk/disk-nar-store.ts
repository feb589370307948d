/**
 * NARs and narinfos as files, laid out as a Nix binary cache, so that `nix copy --from file://DIR` and rsync work on it:
 *
 *     nix-cache-info
 *     <hash>.narinfo
 *     nar/<hash>-<NarHash>.nar.zst   or another compression's ending
 *     .partial/                        what is being written; emptied on start
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoreDir } from '../../nix/store-path.ts'
import { formatCacheInfo } from '../../nix/cache-info.ts'
import { maxNarinfoBytes } from '../../nix/narinfo.ts'
import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { NarFile, NarStore, StagedNar } from '../../ports/nar-store.ts'
import { etagEnding, readInterrupted } from './interrupted-files.ts'

/** Opens the store in `dir`, makes what is missing and sweeps what a crash left. Only one process may have it open. */
export async function openDiskNarStore(dir: string, storeDir: StoreDir): Promise<NarStore> {
  const partialDir = join(dir, '.partial')
  const narDir = join(dir, 'nar')
  const interrupted = await readInterrupted(partialDir)
  await rm(partialDir, { recursive: true, force: true })
  await mkdir(partialDir, { recursive: true })
  await mkdir(narDir, { recursive: true })
  await writeDurably(
    partialDir,
    join(dir, 'nix-cache-info'),
    formatCacheInfo({ storeDir, wantMassQuery: true, priority: 40 }),
  )
  const narPath = (key: NarFileKey): string => join(narDir, narFileName(key))
  const narinfoPath = (key: NarFileKey): string => join(dir, `${key.storePathHash}.narinfo`)

  return {
    interrupted,
    pathOf: narPath,
    async stage() {
      const path = join(partialDir, `${randomUUID()}.nar`)
      await writeFile(path, '', { flag: 'wx' })
      return stagedNar(partialDir, path, async (key, narinfo) => {
        await syncFile(path)
        await rename(path, narPath(key))
        try {
          await syncFile(narDir)
          // The narinfo comes last: nothing is described that is not there.
          await writeDurably(partialDir, narinfoPath(key), narinfo)
          await syncFile(dir)
        } catch (error) {
          // A NAR that is neither described nor recorded would never be evicted.
          await rm(narPath(key), { force: true })
          throw error
        }
      })
    },
    async open(key) {
      const handle = await openExisting(narPath(key))
      return handle && narFile(handle)
    },
    async describe(hash) {
      const text = await readExisting(join(dir, `${hash}.narinfo`))
      return text === null || text.length > maxNarinfoBytes ? null : Buffer.from(text)
    },
    async remove(key) {
      const described = await readExisting(narinfoPath(key))
      if (described?.includes(`\nURL: nar/${narFileName(key)}\n`) === true) {
        await rm(narinfoPath(key), { force: true })
      }
      await rm(narPath(key), { force: true })
    },
  }
}

function stagedNar(
  partialDir: string,
  path: string,
  commit: (key: NarFileKey, narinfo: string) => Promise<void>,
): StagedNar {
  let note: string | null = null
  return {
    path,
    commit,
    noteEtag(key, etag) {
      note = join(partialDir, `${narFileName(key)}${etagEnding}`)
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

async function openExisting(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

async function readExisting(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Replaces a file at once and for good: a reader sees the old text or the new one. */
async function writeDurably(partialDir: string, path: string, text: string): Promise<void> {
  const temporary = join(partialDir, randomUUID())
  try {
    await writeFile(temporary, text, { flush: true })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
