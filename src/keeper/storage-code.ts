import type { StoreFailureCode } from '../ports/meter.ts'

/** SQLite's primary result code for a full disk. */
const sqliteFull = 13

/** What kept something from being written, as a code of a finite set: the system's, or `SQLITE_FULL`; `null` where it is something else. */
export function storageCode(error: unknown): string | null {
  if (error instanceof StorageError) return error.code
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) return null
  if ('errcode' in error) {
    const isFull = typeof error.errcode === 'number' && (error.errcode & 0xff) === sqliteFull
    return isFull ? 'SQLITE_FULL' : null
  }
  return /^E[A-Z0-9]+$/.test(error.code) ? error.code : null
}

/** The same as one of few codes. */
export function storeFailureOf(error: unknown): StoreFailureCode {
  const code = storageCode(error)
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EROFS':
    case 'EACCES':
    case 'EIO':
      return code
    case 'SQLITE_FULL':
      return 'ENOSPC'
    case null:
    default:
      return 'other'
  }
}

/** Whether more room would have helped. */
export function isNoRoom(code: string | null): boolean {
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL'
}

/** A NAR's file could not be written; `code` is the system's. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
