import type { SQLOutputValue } from 'node:sqlite'
import { isDecodable, parseCompression } from '../../nix/compression.ts'
import type { NarFileKey } from '../../nix/nar-key.ts'
import { parseStorePathHash } from '../../nix/store-path.ts'
import type { StoredClaim, StoredNar, UsedNar } from '../../ports/catalog.ts'

/** A row as SQLite gives it. */
export type Row = Record<string, SQLOutputValue>

/** A row that SQLite finds nothing wrong with, and that is none of Weir's: it has no checksums of its own. */
export class CatalogRowError extends Error {
  override readonly name = 'CatalogRowError'
}

/** The parameters that name a record. */
export function keyParameters({ storePathHash, narHash, compression }: NarFileKey) {
  return [storePathHash, narHash, compression] as const
}

/** A record's parameters, in the order of the table's columns. */
export function rowParameters(stored: StoredNar): (string | number | Uint8Array | null)[] {
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

/** The record in a row, with those of a path's witnesses that are its own; throws for a row that Weir did not write. */
export function storedNarOf(row: Row, witnesses: readonly Row[]): StoredNar {
  const key = keyOf(row)
  const isOwn = (witness: Row): boolean =>
    witness['nar_hash'] === key.narHash && witness['compression'] === key.compression
  return {
    ...storedClaim(row),
    key,
    witnesses: witnesses.filter(isOwn).map(storedClaim),
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

/** The place of a record in the order of uses; before all where there is none. */
export function useParameters(after: UsedNar | null) {
  return after === null
    ? ([Number.MIN_SAFE_INTEGER, '', '', ''] as const)
    : ([after.usedAtMs, ...keyParameters(after.key)] as const)
}

/** What eviction needs of a row. */
export function usedNarOf(row: Row): UsedNar {
  return {
    key: keyOf(row),
    diskBytes: Number(row['disk_bytes']),
    usedAtMs: Number(row['used_at']),
  }
}

/** What a row's NAR takes on disk; `null` where there is no row. */
export function diskBytesOf(row: Row | undefined): number | null {
  return row === undefined ? null : Number(row['disk_bytes'])
}

function keyOf(row: Row): NarFileKey {
  const storePathHash = parseStorePathHash(String(row['hash']))
  const compression = parseCompression(String(row['compression']))
  if (storePathHash === null || compression === null || !isDecodable(compression)) {
    throw new CatalogRowError('the catalog has a row that Weir did not write')
  }
  return { storePathHash, narHash: String(row['nar_hash']), compression }
}

function storedClaim(row: Row): StoredClaim {
  const claim = row['claim']
  if (!(claim instanceof Uint8Array)) {
    throw new CatalogRowError('the catalog has a row that Weir did not write')
  }
  return { upstream: String(row['upstream']), claim }
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return typeof value === 'string' ? value : null
}
