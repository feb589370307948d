import type { DatabaseSync } from 'node:sqlite'

/**
 * Brings a database's tables to this version, in one transaction. Each migration takes them from the version that is its
 * index to the next; migrations are only ever added. `newer` makes the error for a database that a newer Weir wrote. Returns the version
 * that the database had; 0 is a new one.
 */
export function migrate(
  database: DatabaseSync,
  migrations: readonly string[],
  newer: (version: number, known: number) => Error,
): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0)
  if (version > migrations.length) throw newer(version, migrations.length)
  if (version === migrations.length) return version
  database.exec(
    `BEGIN; ${migrations.slice(version).join('\n')} PRAGMA user_version = ${migrations.length}; COMMIT`,
  )
  return version
}
