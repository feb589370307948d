/** SQLite's primary result codes for a damaged file: ERROR (a table that is not there), CORRUPT, NOTADB. */
const damageCodes = [1, 11, 26]

/** Whether an error says that a database's file is damaged. */
export function isDamage(error: unknown): boolean {
  return (
    error instanceof Error &&
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    damageCodes.includes(error.errcode & 0xff)
  )
}
