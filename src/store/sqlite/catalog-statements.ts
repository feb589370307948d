import type { DatabaseSync } from 'node:sqlite'

const columns =
  'hash, nar_hash, compression, upstream, claim, file_bytes, file_hash, etag, stored_at, used_at, verified_ca, certain_in, disk_bytes'
const values = columns.replaceAll(/\w+/g, '?')
/** From the line with the store path on, as far as the longest one goes. */
const fromPath = "substr(claim, instr(claim, CAST('StorePath: ' AS BLOB)), 1280)"
const lineEnd = "instr(from_path, x'0a')"
const isKey = 'hash = ? AND nar_hash = ? AND compression = ?'

/** The statements of a catalog. */
export type CatalogStatements = ReturnType<typeof prepareCatalog>

/** Prepares what is asked of a catalog; its tables must be there. */
export function prepareCatalog(database: DatabaseSync) {
  const prepare = (sql: string) => database.prepare(sql)
  return {
    find: prepare(
      'SELECT * FROM nar WHERE hash = ? ORDER BY stored_at DESC, nar_hash, compression',
    ),
    put: prepare(`INSERT OR REPLACE INTO nar (${columns}) VALUES (${values})`),
    putMissing: prepare(`INSERT OR IGNORE INTO nar (${columns}) VALUES (${values})`),
    witnesses: prepare(
      'SELECT nar_hash, compression, upstream, claim FROM witness WHERE hash = ? ORDER BY rowid',
    ),
    putWitness: prepare(
      'INSERT OR REPLACE INTO witness (hash, nar_hash, compression, upstream, claim) VALUES (?, ?, ?, ?, ?)',
    ),
    removeWitnesses: prepare(`DELETE FROM witness WHERE ${isKey}`),
    touch: prepare(`UPDATE nar SET used_at = max(used_at, ?) WHERE ${isKey}`),
    diskBytes: prepare(`SELECT disk_bytes FROM nar WHERE ${isKey}`),
    remove: prepare(`DELETE FROM nar WHERE ${isKey} RETURNING disk_bytes`),
    totals: prepare('SELECT count(*) AS count, coalesce(sum(disk_bytes), 0) AS bytes FROM nar'),
    page: prepare(
      'SELECT * FROM nar WHERE (hash, nar_hash, compression) > (?, ?, ?) ORDER BY hash, nar_hash, compression LIMIT ?',
    ),
    // By rowid: the table's own order, in which a million claims are read six times as fast as in the order of the key.
    search: prepare(
      `SELECT * FROM (SELECT rowid AS place, *, ${fromPath} AS from_path FROM nar WHERE rowid < ? ORDER BY rowid DESC LIMIT ?)
       WHERE instr(substr(from_path, 1, iif(${lineEnd} = 0, 1280, ${lineEnd})), CAST(? AS BLOB)) > 0
       ORDER BY place DESC`,
    ),
    lastOfSpan: prepare(
      'SELECT rowid AS place FROM nar WHERE rowid < ? ORDER BY rowid DESC LIMIT 1 OFFSET ?',
    ),
    oldest: prepare(
      `SELECT hash, nar_hash, compression, disk_bytes, used_at FROM nar
       WHERE (used_at, hash, nar_hash, compression) > (?, ?, ?, ?)
       ORDER BY used_at, hash, nar_hash, compression LIMIT ?`,
    ),
    isRebuildDue: prepare("SELECT 1 FROM due WHERE what = 'rebuild'"),
    rebuilt: prepare("DELETE FROM due WHERE what = 'rebuild'"),
  }
}
