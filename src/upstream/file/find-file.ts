import { constants } from 'node:fs'
import type * as nodeFiles from 'node:fs/promises'
import { join, sep } from 'node:path'
import { UpstreamError } from '../../ports/upstream.ts'

/** What it takes of `node:fs/promises` to read a folder. */
export type FileSystem = Pick<typeof nodeFiles, 'open' | 'realpath' | 'stat' | 'lstat' | 'opendir'>

/** An open regular file, and its size in bytes. */
export type Opened = { readonly handle: nodeFiles.FileHandle; readonly size: number }

/** Entries that are looked at for a narinfo. */
const maxEntries = 10_000

/** A pipe is not waited for, nor a link followed that was put there since the path was looked at. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * The file at a path, given part by part, below a folder. `null` where a binary cache is there, and certainly no such file in it; what
 * leads outside or is no regular file is `url-refused`, and a folder that may not be mounted is `connect`.
 */
export async function findFile(
  files: FileSystem,
  folder: string,
  path: readonly string[],
): Promise<Opened | null> {
  if (path.some((part) => /^\.{0,2}$/.test(part) || /[/\0]/.test(part))) {
    throw new UpstreamError('url-refused', 'that is no path of a file below the folder')
  }
  const root = await rootOf(files, folder)
  const place = await locate(files, root.path, path)
  if (place !== null) return openRegular(files, place)
  // An empty mount point has no file either: what was looked into must be a cache, before and after.
  const after = await rootOf(files, folder)
  if (after.mark === root.mark && (await isCache(files, root.path))) return null
  throw new UpstreamError('connect', `there is no binary cache in ${folder}: is it mounted?`)
}

/** Where the folder is, and a mark that another file system in its place does not have. */
async function rootOf(
  files: FileSystem,
  folder: string,
): Promise<{ readonly path: string; readonly mark: string }> {
  try {
    const path = await files.realpath(folder)
    const { dev, ino } = await files.stat(path)
    return { path, mark: `${dev}:${ino}` }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    throw new UpstreamError('connect', `${folder} is not there: is it mounted?`)
  }
}

/** Where the file really is, links followed; null where there is none. */
async function locate(
  files: FileSystem,
  root: string,
  path: readonly string[],
): Promise<string | null> {
  for (let parts = 1; parts <= path.length; parts += 1) {
    const place = join(root, ...path.slice(0, parts))
    const real = await orNull(files.realpath(place))
    if (real === null) {
      if ((await orNull(files.lstat(place))) === null) return null
      throw new UpstreamError('connect', `${place} is a link to what is not there: is it mounted?`)
    }
    if (!real.startsWith(root === sep ? root : root + sep)) {
      throw new UpstreamError('url-refused', `${place} leads out of the folder`)
    }
    if (parts === path.length) return real
  }
  return null
}

async function openRegular(files: FileSystem, place: string): Promise<Opened> {
  const handle = await files.open(place, flags)
  try {
    const stats = await handle.stat()
    if (stats.isFile()) return { handle, size: stats.size }
  } catch (error) {
    closeFile(handle)
    throw error
  }
  closeFile(handle)
  throw new UpstreamError('url-refused', `${place} is no regular file`)
}

async function isCache(files: FileSystem, root: string): Promise<boolean> {
  if ((await orNull(files.stat(join(root, 'nix-cache-info')))) !== null) return true
  let entries = 0
  for await (const { name } of await files.opendir(root)) {
    if (/^[0-9a-z]{32}\.narinfo$/.test(name)) return true
    entries += 1
    if (entries === maxEntries) return false
  }
  return false
}

/** Nobody waits for it: on a dead mount it does not end. */
export function closeFile(handle: nodeFiles.FileHandle): void {
  handle.close().catch(() => undefined)
}

async function orNull<T>(pending: Promise<T>): Promise<T | null> {
  try {
    return await pending
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** The system's code of an error, `null` where it has none. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : null
}
