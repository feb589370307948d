import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { parseStorePathHash } from '../../nix/store-path.ts'
import type { Catalog, StoredNar } from '../../ports/catalog.ts'
import { migrateCatalog } from './catalog-schema.ts'
import { inTransaction } from './in-transaction.ts'

/** Opens or makes the catalog in a SQLite file; `:memory:` for one that is gone with the process. */
export function openSqliteCatalog(file: string): Catalog {
  const database = new DatabaseSync(file)
  try {
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000',
    )
    migrateCatalog(database)
    return catalogIn(database)
  } catch (error) {
    database.close()
    throw error
  }
}

function catalogIn(database: DatabaseSync): Catalog {
  const statements = {
    find: database.prepare('SELECT * FROM nar WHERE hash = ? ORDER BY stored_at DESC, nar_hash'),
    put: database.prepare(
      `INSERT OR REPLACE INTO nar
         (hash, nar_hash, upstream, claim, file_bytes, file_hash, etag, stored_at, used_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    touch: database.prepare(
      'UPDATE nar SET used_at = max(used_at, ?) WHERE hash = ? AND nar_hash = ?',
    ),
    remove: database.prepare('DELETE FROM nar WHERE hash = ? AND nar_hash = ?'),
    totals: database.prepare(
      'SELECT count(*) AS count, coalesce(sum(file_bytes), 0) AS bytes FROM nar',
    ),
    oldest: database.prepare('SELECT * FROM nar ORDER BY used_at, hash, nar_hash LIMIT ?'),
  }
  /* The statements are synchronous and short; a promise keeps their errors where the port expects them. */
  const promised = <T>(act: () => T): Promise<T> => Promise.try(act)
  return {
    find: (hash) => promised(() => statements.find.all(hash).map(storedNar)),
    put: (stored) =>
      promised(() => {
        statements.put.run(...parameters(stored))
      }),
    touch: (keys, usedAtMs) =>
      promised(() => {
        inTransaction(database, () => {
          for (const key of keys) statements.touch.run(usedAtMs, key.storePathHash, key.narHash)
        })
      }),
    remove: (key) =>
      promised(() => statements.remove.run(key.storePathHash, key.narHash).changes > 0),
    totals: () =>
      promised(() => {
        const row = statements.totals.get() ?? {}
        return { count: Number(row['count']), bytes: Number(row['bytes']) }
      }),
    leastRecentlyUsed: (limit) => promised(() => statements.oldest.all(limit).map(storedNar)),
    close: () =>
      promised(() => {
        database.close()
      }),
  }
}

type Row = Record<string, SQLOutputValue>

function parameters(
  stored: StoredNar,
): [string, string, string, Uint8Array, number, string, string, number, number] {
  const { key, upstream, claim, fileBytes, fileHash, etag, storedAtMs, usedAtMs } = stored
  return [
    key.storePathHash,
    key.narHash,
    upstream,
    claim,
    fileBytes,
    fileHash,
    etag,
    storedAtMs,
    usedAtMs,
  ]
}

function storedNar(row: Row): StoredNar {
  const storePathHash = parseStorePathHash(String(row['hash']))
  const claim = row['claim']
  if (storePathHash === null || !(claim instanceof Uint8Array)) {
    throw new TypeError('the catalog has a row that Weir did not write')
  }
  return {
    key: { storePathHash, narHash: String(row['nar_hash']) },
    upstream: String(row['upstream']),
    claim,
    fileBytes: Number(row['file_bytes']),
    fileHash: String(row['file_hash']),
    etag: String(row['etag']),
    storedAtMs: Number(row['stored_at']),
    usedAtMs: Number(row['used_at']),
  }
}
