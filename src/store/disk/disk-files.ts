import { randomUUID } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import {
  type FileHandle,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'

/** The unit of `st_blocks`, whatever the file system's own is. */
const blockBytes = 512

/** What a file takes on disk. Some file systems say only later which blocks they gave it: its length at least. */
export function onDisk({ blocks, size }: Stats): number {
  return Math.max(blocks * blockBytes, size)
}

/**
 * For what lies in the store: no link is followed, since whoever can write into the folder could have any file handed out that Weir can
 * read; and no pipe is waited for.
 */
const ownFile = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Opens a file for reading; `null` where there is none, or a link. */
export function openExisting(path: string): Promise<FileHandle | null> {
  return unlessMissing(open(path, ownFile))
}

/** The text of a file; `null` where there is none, or a link. */
export function readExisting(path: string): Promise<string | null> {
  return unlessMissing(readFile(path, { encoding: 'utf8', flag: ownFile }))
}

/** What the file system knows of a file; `null` where there is none. */
export function statExisting(path: string): Promise<Stats | null> {
  return unlessMissing(stat(path))
}

/** Makes a folder where there is none, in one that is there. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error && isMissing(error.code)) return null
    throw error
  }
}

function isMissing(code: unknown): boolean {
  return code === 'ENOENT' || code === 'ELOOP'
}

/** Replaces a file at once and for good, by way of a folder for what is not whole yet: a reader sees the old text or the new one. */
export async function writeDurably(partialDir: string, path: string, text: string): Promise<void> {
  const temporary = join(partialDir, randomUUID())
  try {
    await writeFile(temporary, text, { flush: true })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Makes a file, or the names in a folder, durable. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
