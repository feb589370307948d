import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { parseStorePathHash, type StorePathHash } from '../../nix/store-path.ts'
import type {
  ServedQuery,
  ServedRecord,
  TrustEventKind,
  TrustEventRecord,
} from '../../ports/evidence.ts'

/** Reads what is recorded, the latest first. */
export type EvidenceReader = {
  served(query: ServedQuery, limit: number): readonly ServedRecord[]
  events(hash: StorePathHash | null, limit: number): readonly TrustEventRecord[]
}

const conditions = [
  ['hash', 'nar.hash = ?'],
  ['path', 'nar.path = ?'],
  ['narHash', 'nar.nar_hash = ?'],
  ['package', 'nar.package = ?'],
  [
    'keyBytes',
    'served.id IN (SELECT served FROM served_key JOIN key ON key.id = key WHERE bytes = ?)',
  ],
  ['client', 'served.client = ?'],
] as const satisfies readonly (readonly [keyof ServedQuery, string])[]

const selectServed = `
  SELECT hash, path, nar_hash, client, upstream, keys, rule, epoch, first_at, last_at, count
  FROM served JOIN nar ON nar.id = served.nar JOIN voucher ON voucher.id = served.voucher`
const servedLatestFirst = 'ORDER BY last_at DESC, served.id DESC LIMIT ?'
const eventsLatestFirst = 'ORDER BY last_at DESC, id DESC LIMIT ?'

/** Prepares the reading of evidence. */
export function prepareReading(database: DatabaseSync): EvidenceReader {
  // A statement for each combination that is asked for, so that each has its index.
  const prepared = new Map<string, StatementSync>()
  const servedWhere = (where: string): StatementSync => {
    const statement =
      prepared.get(where) ?? database.prepare(`${selectServed} ${where} ${servedLatestFirst}`)
    prepared.set(where, statement)
    return statement
  }
  const statements = {
    events: database.prepare(`SELECT * FROM event ${eventsLatestFirst}`),
    eventsOf: database.prepare(`SELECT * FROM event WHERE hash = ? ${eventsLatestFirst}`),
  }
  return {
    served(query, limit) {
      const { where, values } = whereOf(query)
      return servedWhere(where)
        .all(...values, limit)
        .map(servedRecord)
    },
    events(hash, limit) {
      const rows =
        hash === null ? statements.events.all(limit) : statements.eventsOf.all(hash, limit)
      return rows.map(eventRecord)
    },
  }
}

function whereOf(query: ServedQuery): { where: string; values: string[] } {
  const terms: string[] = []
  const values: string[] = []
  for (const [field, term] of conditions) {
    const value = query[field]
    if (value === undefined) continue
    terms.push(term)
    values.push(value)
  }
  return { where: terms.length === 0 ? '' : `WHERE ${terms.join(' AND ')}`, values }
}

type Row = Record<string, SQLOutputValue>

function servedRecord(row: Row): ServedRecord {
  const keys = String(row['keys'])
  return {
    hash: storedHash(row['hash']),
    path: String(row['path']),
    narHash: String(row['nar_hash']),
    client: String(row['client']),
    upstream: String(row['upstream']),
    keys: keys === '' ? [] : keys.split(' '),
    rule: textOrNull(row['rule']),
    epoch: String(row['epoch']),
    ...times(row),
  }
}

function eventRecord(row: Row): TrustEventRecord {
  return {
    kind: storedKind(row['kind']),
    hash: row['hash'] === null ? null : storedHash(row['hash']),
    upstream: textOrNull(row['upstream']),
    detail: String(row['detail']),
    ...times(row),
  }
}

function times(row: Row): Pick<ServedRecord, 'firstMs' | 'lastMs' | 'count'> {
  return {
    firstMs: Number(row['first_at']),
    lastMs: Number(row['last_at']),
    count: Number(row['count']),
  }
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return value === null ? null : String(value)
}

function storedHash(value: SQLOutputValue | undefined): StorePathHash {
  const hash = parseStorePathHash(String(value))
  if (hash === null) throw new TypeError('the evidence has a row that Weir did not write')
  return hash
}

const kinds: Readonly<Record<TrustEventKind, true>> = {
  divergence: true,
  'lying-name': true,
  'wrong-nar': true,
  'bad-signature': true,
  'would-refuse': true,
  'upstream-suspended': true,
  'upstream-resumed': true,
  recall: true,
  'recall-lifted': true,
}

function storedKind(value: SQLOutputValue | undefined): TrustEventKind {
  if (typeof value === 'string' && isKind(value)) return value
  throw new TypeError('the evidence has an event that Weir did not write')
}

function isKind(text: string): text is TrustEventKind {
  return Object.hasOwn(kinds, text)
}
