import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { packageOf } from '../../policy/package-name.ts'
import type { EvidenceBatch, NotedNar } from './evidence-batch.ts'
import { inTransaction } from './in-transaction.ts'

/** Writes a batch into what is recorded: all of it, or nothing where it throws. */
export type WriteEvidence = (batch: Pick<EvidenceBatch, 'nars' | 'events'>) => void

const mergeTimes = `
  first_at = min(first_at, excluded.first_at),
  last_at = max(last_at, excluded.last_at),
  count = count + excluded.count`

const putNar = `
  INSERT INTO served
    (hash, path, package, nar_hash, client, upstream, keys, rule, epoch, first_at, last_at, count)
  VALUES
    (:hash, :path, :package, :narHash, :client, :upstream, :keys, :rule, :epoch, :firstMs, :lastMs, :count)
  ON CONFLICT (hash, path, nar_hash, client) DO UPDATE SET
    upstream = excluded.upstream, keys = excluded.keys, rule = excluded.rule, epoch = excluded.epoch,
    ${mergeTimes}
  RETURNING id`

const putEvent = `
  INSERT INTO event (kind, hash, upstream, detail, first_at, last_at, count)
  VALUES (:kind, :hash, :upstream, :detail, :firstMs, :lastMs, :count)
  ON CONFLICT (kind, ifnull(hash, ''), ifnull(upstream, ''), detail) DO UPDATE SET ${mergeTimes}`

/** Prepares the writing of evidence. */
export function prepareWriting(database: DatabaseSync): WriteEvidence {
  const statements = {
    nar: database.prepare(putNar),
    key: database.prepare('INSERT OR IGNORE INTO served_key (bytes, served) VALUES (?, ?)'),
    event: database.prepare(putEvent),
  }
  return ({ nars, events }) => {
    inTransaction(database, () => {
      for (const nar of nars.values()) {
        const id = Number(statements.nar.get(narValues(nar))?.['id'])
        for (const key of nar.vouched) statements.key.run(bytesOf(key), id)
      }
      for (const event of events.values()) statements.event.run(event)
    })
  }
}

function narValues({ vouched: _, ...nar }: NotedNar): Record<string, SQLInputValue> {
  const name = nar.path.slice(nar.hash.length + 1)
  return { ...nar, package: packageOf(name), keys: nar.keys.join(' ') }
}

/** What follows the name in `name:base64`. */
function bytesOf(key: string): string {
  return key.slice(key.indexOf(':') + 1)
}
