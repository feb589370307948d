import { CatalogRowError } from './catalog-rows.ts'

/** SQLite's primary result codes for a damaged file: CORRUPT, NOTADB … */
const corruptionCodes = [11, 26]
/** … and, while it is opened, ERROR: a table that is not there. */
const damageCodes = [1, ...corruptionCodes]

/** Whether an error, while a database is opened, says that its file is damaged. */
export function isDamage(error: unknown): boolean {
  return hasCode(error, damageCodes)
}

/** Whether an error says that the file of a database in use is damaged. */
export function isCorruption(error: unknown): boolean {
  return error instanceof CatalogRowError || hasCode(error, corruptionCodes)
}

function hasCode(error: unknown, codes: readonly number[]): boolean {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    codes.includes(error.errcode & 0xff)
  )
}
