import type { DatabaseSync } from 'node:sqlite'
import { maxEventsOfKind } from '../../ports/evidence.ts'
import type { EvidenceBatch } from './evidence-batch.ts'
import { prepareEvidenceIds } from './evidence-ids.ts'
import { inTransaction } from './in-transaction.ts'

/** Writes a batch into what is recorded: all of it, or nothing where it throws. */
export type WriteEvidence = (batch: Pick<EvidenceBatch, 'nars' | 'events'>) => void

const mergeTimes = `
  first_at = min(first_at, excluded.first_at),
  last_at = max(last_at, excluded.last_at),
  count = count + excluded.count`

const putServed = `
  INSERT INTO served (nar, client, voucher, first_at, last_at, count) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (nar, client) DO UPDATE SET voucher = excluded.voucher, ${mergeTimes}
  RETURNING id`

const putEvent = `
  INSERT INTO event (kind, hash, upstream, detail, first_at, last_at, count)
  VALUES (:kind, :hash, :upstream, :detail, :firstMs, :lastMs, :count)
  ON CONFLICT (kind, ifnull(hash, ''), ifnull(upstream, ''), detail) DO UPDATE SET ${mergeTimes}`

/* What a hostile upstream can cause must not fill the disk: of each kind the latest are kept. */
const pruneEvents = `
  DELETE FROM event WHERE kind = ?1 AND last_at < (
    SELECT last_at FROM event WHERE kind = ?1 ORDER BY last_at DESC LIMIT 1 OFFSET ?2)`

/** Prepares the writing of evidence. */
export function prepareWriting(database: DatabaseSync): WriteEvidence {
  const ids = prepareEvidenceIds(database)
  const statements = {
    served: database.prepare(putServed),
    key: database.prepare('INSERT OR IGNORE INTO served_key (key, served) VALUES (?, ?)'),
    event: database.prepare(putEvent),
    prune: database.prepare(pruneEvents),
  }
  return ({ nars, events }) => {
    inTransaction(database, () => {
      for (const nar of nars.values()) {
        const { client, firstMs, lastMs, count } = nar
        const [narId, voucherId] = [ids.nar(nar), ids.voucher(nar)]
        const row = statements.served.get(narId, client, voucherId, firstMs, lastMs, count)
        for (const key of nar.vouched) statements.key.run(ids.key(key), Number(row?.['id']))
      }
      for (const event of events.values()) statements.event.run(event)
      const kinds = new Set([...events.values()].map(({ kind }) => kind))
      for (const kind of kinds) statements.prune.run(kind, maxEventsOfKind - 1)
    })
  }
}
