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
  // A NAR may be there in several compressions: a record a file. SQLite changes no primary key in place.
  `CREATE TABLE nar_file (
     hash        TEXT NOT NULL,
     nar_hash    TEXT NOT NULL,
     compression TEXT NOT NULL,
     upstream    TEXT NOT NULL,
     claim       BLOB NOT NULL,
     file_bytes  INTEGER NOT NULL,
     file_hash   TEXT NOT NULL,
     etag        TEXT NOT NULL,
     stored_at   INTEGER NOT NULL,
     used_at     INTEGER NOT NULL,
     verified_ca TEXT,
     certain_in  TEXT,
     PRIMARY KEY (hash, nar_hash, compression)
   ) STRICT;
   INSERT INTO nar_file
     SELECT hash, nar_hash, 'zstd', upstream, claim, file_bytes, file_hash, etag, stored_at, used_at, verified_ca, certain_in FROM nar;
   DROP TABLE nar;
   ALTER TABLE nar_file RENAME TO nar;
   CREATE INDEX nar_by_use ON nar (used_at, file_bytes);
   CREATE TABLE nar_witness (
     hash        TEXT NOT NULL,
     nar_hash    TEXT NOT NULL,
     compression TEXT NOT NULL,
     upstream    TEXT NOT NULL,
     claim       BLOB NOT NULL,
     PRIMARY KEY (hash, nar_hash, compression, upstream)
   ) STRICT;
   INSERT INTO nar_witness SELECT hash, nar_hash, 'zstd', upstream, claim FROM witness ORDER BY rowid;
   DROP TABLE witness;
   ALTER TABLE nar_witness RENAME TO witness;`,
  // Of files from before nobody measured what they take. The index has all that eviction reads, in the order that it reads it.
  `ALTER TABLE nar ADD COLUMN disk_bytes INTEGER NOT NULL DEFAULT 0;
   UPDATE nar SET disk_bytes = file_bytes;
   DROP INDEX nar_by_use;
   CREATE INDEX nar_by_use ON nar (used_at, hash, nar_hash, compression, disk_bytes);`,
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
