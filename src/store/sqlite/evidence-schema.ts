import type { DatabaseSync } from 'node:sqlite'
import { EvidenceFileError } from './evidence-file-error.ts'
import { migrate } from './migrate.ts'

/*
 * Times are milliseconds since the Unix epoch. `served.keys` are the latest ones, separated by spaces (no key has one); every key that
 * ever vouched for a record is in `served_key`, by its bytes in base64. The path is part of a record's identity, although it begins
 * with the hash: two names for one hash are what a recall must not lose.
 */
const migrations: readonly string[] = [
  `CREATE TABLE served (
     id       INTEGER PRIMARY KEY,
     hash     TEXT NOT NULL,
     path     TEXT NOT NULL,
     package  TEXT NOT NULL,
     nar_hash TEXT NOT NULL,
     client   TEXT NOT NULL,
     upstream TEXT NOT NULL,
     keys     TEXT NOT NULL,
     rule     TEXT,
     epoch    TEXT NOT NULL,
     first_at INTEGER NOT NULL,
     last_at  INTEGER NOT NULL,
     count    INTEGER NOT NULL,
     UNIQUE (hash, path, nar_hash, client)
   ) STRICT;
   CREATE INDEX served_by_path ON served (path);
   CREATE INDEX served_by_nar_hash ON served (nar_hash);
   CREATE INDEX served_by_package ON served (package);
   CREATE INDEX served_by_client ON served (client, last_at);
   CREATE INDEX served_by_time ON served (last_at);
   CREATE TABLE served_key (
     bytes  TEXT NOT NULL,
     served INTEGER NOT NULL REFERENCES served (id),
     PRIMARY KEY (bytes, served)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE event (
     id       INTEGER PRIMARY KEY,
     kind     TEXT NOT NULL,
     hash     TEXT,
     upstream TEXT,
     detail   TEXT NOT NULL,
     first_at INTEGER NOT NULL,
     last_at  INTEGER NOT NULL,
     count    INTEGER NOT NULL
   ) STRICT;
   CREATE UNIQUE INDEX event_once ON event (kind, ifnull(hash, ''), ifnull(upstream, ''), detail);
   CREATE INDEX event_by_hash ON event (hash, last_at);
   CREATE INDEX event_by_time ON event (last_at);`,
]

/** Brings the evidence's tables to this version. */
export function migrateEvidence(database: DatabaseSync, file: string): void {
  migrate(
    database,
    migrations,
    (version, known) =>
      new EvidenceFileError(
        'newer',
        `the evidence in ${file} has version ${version}, this Weir knows versions up to ${known}: start a newer Weir; it is not made again, so don't remove it`,
      ),
  )
}
