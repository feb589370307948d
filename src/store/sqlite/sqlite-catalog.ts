import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'
import { isDecodable, parseCompression } from '../../nix/compression.ts'
import type { NarFileKey } from '../../nix/nar-key.ts'
import { parseStorePathHash } from '../../nix/store-path.ts'
import type { Catalog, StoredClaim, StoredNar, UsedNar } from '../../ports/catalog.ts'
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
    find: database.prepare(
      'SELECT * FROM nar WHERE hash = ? ORDER BY stored_at DESC, nar_hash, compression',
    ),
    put: database.prepare(
      `INSERT OR REPLACE INTO nar
         (hash, nar_hash, compression, upstream, claim, file_bytes, file_hash, etag, stored_at, used_at, verified_ca, certain_in, disk_bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    diskBytes: database.prepare(
      'SELECT disk_bytes FROM nar WHERE hash = ? AND nar_hash = ? AND compression = ?',
    ),
    witnesses: database.prepare(
      'SELECT nar_hash, compression, upstream, claim FROM witness WHERE hash = ? ORDER BY rowid',
    ),
    putWitness: database.prepare(
      'INSERT OR REPLACE INTO witness (hash, nar_hash, compression, upstream, claim) VALUES (?, ?, ?, ?, ?)',
    ),
    removeWitnesses: database.prepare(
      'DELETE FROM witness WHERE hash = ? AND nar_hash = ? AND compression = ?',
    ),
    touch: database.prepare(
      'UPDATE nar SET used_at = max(used_at, ?) WHERE hash = ? AND nar_hash = ? AND compression = ?',
    ),
    remove: database.prepare(
      'DELETE FROM nar WHERE hash = ? AND nar_hash = ? AND compression = ? RETURNING disk_bytes',
    ),
    totals: database.prepare(
      'SELECT count(*) AS count, coalesce(sum(disk_bytes), 0) AS bytes FROM nar',
    ),
    page: database.prepare(
      'SELECT * FROM nar WHERE (hash, nar_hash, compression) > (?, ?, ?) ORDER BY hash, nar_hash, compression LIMIT ?',
    ),
    oldest: database.prepare(
      `SELECT hash, nar_hash, compression, disk_bytes, used_at FROM nar
       WHERE (used_at, hash, nar_hash, compression) > (?, ?, ?, ?)
       ORDER BY used_at, hash, nar_hash, compression LIMIT ?`,
    ),
  }
  /* The statements are synchronous and short; a promise keeps their errors where the port expects them. */
  const promised = <T>(act: () => T): Promise<T> => Promise.try(act)
  const transaction = <T>(act: () => T): Promise<T> => promised(() => inTransaction(database, act))
  const withWitnesses = (row: Row): StoredNar =>
    storedNar(row, statements.witnesses.all(String(row['hash'])))
  const find = (hash: string): readonly StoredNar[] => {
    const witnesses = statements.witnesses.all(hash)
    return statements.find.all(hash).map((row) => storedNar(row, witnesses))
  }
  return {
    find: (hash) => promised(() => find(hash)),
    put: (stored) =>
      transaction(() => {
        const key = keyParameters(stored.key)
        const replaced = statements.diskBytes.get(...key)
        statements.put.run(...parameters(stored))
        statements.removeWitnesses.run(...key)
        for (const { upstream, claim } of stored.witnesses) {
          statements.putWitness.run(...key, upstream, claim)
        }
        return diskBytesOf(replaced)
      }),
    touch: (keys, usedAtMs) =>
      transaction(() => {
        for (const key of keys) statements.touch.run(usedAtMs, ...keyParameters(key))
      }),
    remove: (key) =>
      transaction(() => {
        statements.removeWitnesses.run(...keyParameters(key))
        return diskBytesOf(statements.remove.get(...keyParameters(key)))
      }),
    totals: () =>
      promised(() => {
        const row = statements.totals.get() ?? {}
        return { count: Number(row['count']), bytes: Number(row['bytes']) }
      }),
    leastRecentlyUsed: (limit, after) =>
      promised(() => statements.oldest.all(...useParameters(after), limit).map(usedNar)),
    page: (after, limit) =>
      promised(() =>
        statements.page
          .all(...(after === null ? ['', '', ''] : keyParameters(after)), limit)
          .map(withWitnesses),
      ),
    close: () =>
      promised(() => {
        database.close()
      }),
  }
}

type Row = Record<string, SQLOutputValue>

function keyParameters({ storePathHash, narHash, compression }: NarFileKey) {
  return [storePathHash, narHash, compression] as const
}

/** The place of a record in the order of uses; before all where there is none. */
function useParameters(after: UsedNar | null) {
  return after === null
    ? ([Number.MIN_SAFE_INTEGER, '', '', ''] as const)
    : ([after.usedAtMs, ...keyParameters(after.key)] as const)
}

function parameters(stored: StoredNar): (string | number | Uint8Array | null)[] {
  const { key, upstream, claim, fileBytes, fileHash, etag, storedAtMs, usedAtMs } = stored
  return [
    ...keyParameters(key),
    upstream,
    claim,
    fileBytes,
    fileHash,
    etag,
    storedAtMs,
    usedAtMs,
    stored.verifiedCa,
    stored.certainIn,
    stored.diskBytes,
  ]
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return typeof value === 'string' ? value : null
}

function storedClaim(row: Row): StoredClaim {
  const claim = row['claim']
  if (!(claim instanceof Uint8Array)) {
    throw new TypeError('the catalog has a row that Weir did not write')
  }
  return { upstream: String(row['upstream']), claim }
}

function keyOf(row: Row): NarFileKey {
  const storePathHash = parseStorePathHash(String(row['hash']))
  const compression = parseCompression(String(row['compression']))
  if (storePathHash === null || compression === null || !isDecodable(compression)) {
    throw new TypeError('the catalog has a row that Weir did not write')
  }
  return { storePathHash, narHash: String(row['nar_hash']), compression }
}

function diskBytesOf(row: Row | undefined): number | null {
  return row === undefined ? null : Number(row['disk_bytes'])
}

function usedNar(row: Row): UsedNar {
  return {
    key: keyOf(row),
    diskBytes: Number(row['disk_bytes']),
    usedAtMs: Number(row['used_at']),
  }
}

function storedNar(row: Row, witnesses: readonly Row[]): StoredNar {
  const key = keyOf(row)
  return {
    ...storedClaim(row),
    key,
    witnesses: witnesses
      .filter(
        (witness) =>
          witness['nar_hash'] === row['nar_hash'] && witness['compression'] === key.compression,
      )
      .map(storedClaim),
    verifiedCa: textOrNull(row['verified_ca']),
    certainIn: textOrNull(row['certain_in']),
    fileBytes: Number(row['file_bytes']),
    diskBytes: Number(row['disk_bytes']),
    fileHash: String(row['file_hash']),
    etag: String(row['etag']),
    storedAtMs: Number(row['stored_at']),
    usedAtMs: Number(row['used_at']),
  }
}
