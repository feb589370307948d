import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { packageOf } from '../../policy/package-name.ts'
import type { ServedNar } from '../../ports/evidence.ts'

/** The ids of the rows that many records of what was handed out share; a row that is not there is made. */
export type EvidenceIds = {
  nar(nar: ServedNar): number
  voucher(nar: ServedNar): number
  /** `key` is `name:base64`; only its bytes count. */
  key(key: string): number
}

/** Prepares the finding and making of shared rows. */
export function prepareEvidenceIds(database: DatabaseSync): EvidenceIds {
  const nar = findOrMake(database, 'nar', ['hash', 'path', 'nar_hash', 'package'])
  const voucher = findOrMake(database, 'voucher', ['epoch', 'upstream', 'keys', 'rule'])
  const key = findOrMake(database, 'key', ['bytes'])
  return {
    nar: ({ hash, path, narHash }) =>
      nar(hash, path, narHash, packageOf(path.slice(hash.length + 1))),
    voucher: ({ epoch, upstream, keys, rule }) => voucher(epoch, upstream, keys.join(' '), rule),
    key: (text) => key(text.slice(text.indexOf(':') + 1)),
  }
}

function findOrMake(
  database: DatabaseSync,
  table: 'nar' | 'voucher' | 'key',
  columns: readonly string[],
): (...values: readonly SQLInputValue[]) => number {
  // IS, since a rule may be NULL.
  const isThis = columns.map((column) => `${column} IS ?`).join(' AND ')
  const find = database.prepare(`SELECT id FROM ${table} WHERE ${isThis}`)
  const make = database.prepare(
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
  )
  return (...values) => {
    const row = find.get(...values)
    return Number(row === undefined ? make.run(...values).lastInsertRowid : row['id'])
  }
}
