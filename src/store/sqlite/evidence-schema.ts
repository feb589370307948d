import type { DatabaseSync } from 'node:sqlite'
import { EvidenceFileError } from './evidence-file-error.ts'
import { migrate } from './migrate.ts'

/*
 * Times are milliseconds since the Unix epoch.
 *
 * `served` is what grows with paths times clients, and is small for that: what many of its rows share stands once, in `nar` and
 * `voucher`. A path is part of what a NAR is here, although it begins with the hash: two names for one hash are what a recall must
 * not lose. The keys of a voucher are separated by spaces (no key has one). A served row names its latest voucher; every key that ever
 * vouched for it is in `served_key`, by its bytes in base64.
 */
const migrations: readonly string[] = [
  `CREATE TABLE nar (
     id       INTEGER PRIMARY KEY,
     hash     TEXT NOT NULL,
     path     TEXT NOT NULL,
     nar_hash TEXT NOT NULL,
     package  TEXT NOT NULL,
     UNIQUE (hash, path, nar_hash)
   ) STRICT;
   CREATE INDEX nar_by_path ON nar (path);
   CREATE INDEX nar_by_nar_hash ON nar (nar_hash);
   CREATE INDEX nar_by_package ON nar (package);
   CREATE TABLE voucher (
     id       INTEGER PRIMARY KEY,
     upstream TEXT NOT NULL,
     keys     TEXT NOT NULL,
     rule     TEXT,
     epoch    TEXT NOT NULL
   ) STRICT;
   CREATE INDEX voucher_by_epoch ON voucher (epoch, upstream, keys, rule);
   CREATE TABLE served (
     id       INTEGER PRIMARY KEY,
     nar      INTEGER NOT NULL REFERENCES nar (id),
     client   TEXT NOT NULL,
     voucher  INTEGER NOT NULL REFERENCES voucher (id),
     first_at INTEGER NOT NULL,
     last_at  INTEGER NOT NULL,
     count    INTEGER NOT NULL,
     UNIQUE (nar, client)
   ) STRICT;
   CREATE INDEX served_by_client ON served (client, last_at);
   CREATE INDEX served_by_time ON served (last_at);
   CREATE TABLE key (
     id    INTEGER PRIMARY KEY,
     bytes TEXT NOT NULL UNIQUE
   ) STRICT;
   CREATE TABLE served_key (
     key    INTEGER NOT NULL REFERENCES key (id),
     served INTEGER NOT NULL REFERENCES served (id),
     PRIMARY KEY (key, served)
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
   CREATE INDEX event_by_time ON event (last_at);
   CREATE INDEX event_by_kind ON event (kind, last_at);`,
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
