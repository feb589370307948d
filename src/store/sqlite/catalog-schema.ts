import type { DatabaseSync } from 'node:sqlite'
import { migrate } from './migrate.ts'

const migrations: readonly string[] = [
  `CREATE TABLE nar (
     hash       TEXT NOT NULL,
     nar_hash   TEXT NOT NULL,
     upstream   TEXT NOT NULL,
     claim      BLOB NOT NULL,
     file_bytes INTEGER NOT NULL,
     file_hash  TEXT NOT NULL,
     etag       TEXT NOT NULL,
     stored_at  INTEGER NOT NULL,
     used_at    INTEGER NOT NULL,
     PRIMARY KEY (hash, nar_hash)
   ) STRICT;
   CREATE INDEX nar_by_use ON nar (used_at, file_bytes);`,
  // What is stored from before was perhaps not certain: it is asked for again.
  `ALTER TABLE nar ADD COLUMN verified_ca TEXT;
   ALTER TABLE nar ADD COLUMN certain_in TEXT;
   CREATE TABLE witness (
     hash       TEXT NOT NULL,
     nar_hash   TEXT NOT NULL,
     upstream   TEXT NOT NULL,
     claim      BLOB NOT NULL,
     PRIMARY KEY (hash, nar_hash, upstream)
   ) STRICT;`,
]

/** A catalog that a newer Weir wrote. */
export class CatalogVersionError extends Error {
  override readonly name = 'CatalogVersionError'
}

/** Brings the catalog's tables to this version. */
export function migrateCatalog(database: DatabaseSync): void {
  migrate(
    database,
    migrations,
    (version, known) =>
      new CatalogVersionError(
        `the catalog has version ${version}, this Weir knows versions up to ${known}: start a newer Weir, or remove the catalog (it is made again)`,
      ),
  )
}
