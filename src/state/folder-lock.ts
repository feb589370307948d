import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** A folder that another Weir uses now. */
export class FolderLockedError extends Error {
  override readonly name = 'FolderLockedError'
}

/**
 * Takes a folder for this process alone, until disposed of or until the process ends, however it ends. The lock is
 * SQLite's exclusive one on an empty database: the system takes it back by itself.
 */
export function lockFolder(dir: string): Disposable {
  const database = new DatabaseSync(join(dir, '.weir-lock'))
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!isBusy(error)) throw error
    throw new FolderLockedError(
      `another weir uses ${dir}: stop it, or give this one folders of its own ([cache] dir, [state] dir)`,
      { cause: error },
    )
  }
  return {
    [Symbol.dispose]: () => {
      database.close()
    },
  }
}

/** SQLite's primary result codes BUSY and LOCKED. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    [5, 6].includes(error.errcode & 0xff)
  )
}
