import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { UpstreamError } from '../../ports/upstream.ts'

/** Files of secrets are small: what is larger is some other file. */
const maxFileBytes = 1024 * 1024

/** How long what was read holds before the file is looked at again. */
const lookAgainMs = 1000

export type WatchedFileOptions<T> = {
  /** Absolute. */
  readonly path: string
  /** The key of the configuration that names the file. */
  readonly key: string
  /** What the file's text says; whatever it throws is thrown to who asks. */
  readonly read: (text: string) => T
  /** A clock that only goes forward, in milliseconds. */
  readonly nowMs: () => number
}

/**
 * What a file says by now: it is looked at when asked for, at most once a second, and read anew where it changed. A file that
 * is of no use is an UpstreamError `credentials`, which never holds its content.
 */
export function createWatchedFile<T>(options: WatchedFileOptions<T>): () => Promise<T> {
  const { path, key, read, nowMs } = options
  let last: { readonly stamp: string; readonly value: T } | null = null
  let lookedAtMs = -Infinity
  let looking: Promise<T> | null = null
  const fail = (error: unknown): never => {
    throw useless(key, path, describeErrno(error), error)
  }
  const look = async (): Promise<T> => {
    // A pipe that somebody put there must not hold anybody up.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK
    await using handle = await open(path, flags).catch(fail)
    const { dev, ino, size, mtimeNs } = await statOf(handle, key, path)
    const stamp = [dev, ino, size, mtimeNs].join(' ')
    if (last?.stamp === stamp) return last.value
    last = null
    const text = await handle.readFile('utf8').catch(fail)
    if (text.trim() === '') throw useless(key, path, 'is empty')
    const value = read(text)
    last = { stamp, value }
    return value
  }
  return () => {
    if (looking === null || nowMs() - lookedAtMs >= lookAgainMs) {
      lookedAtMs = nowMs()
      looking = look()
    }
    return looking
  }
}

/** A file, or what it says, that cannot be used; `what` must not repeat any of it. */
export function useless(key: string, path: string, what: string, cause?: unknown): UpstreamError {
  return new UpstreamError('credentials', `${key} ${path}: ${what}`, { cause })
}

async function statOf(handle: FileHandle, key: string, path: string): Promise<BigIntStats> {
  const stat = await handle.stat({ bigint: true })
  if (!stat.isFile()) throw useless(key, path, 'is no file')
  if (stat.size > maxFileBytes) throw useless(key, path, `has more than ${maxFileBytes} bytes`)
  return stat
}

/** Why a file could not be opened or read, in words. */
export function describeErrno(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'no such file'
    case 'EACCES':
    case 'EPERM':
      return "Weir's user may not read it"
    default:
      return `can't be read (${code})`
  }
}
