import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../ports/clock.ts'
import type { Evidence } from '../../ports/evidence.ts'
import type { Log } from '../../ports/log.ts'
import { createEvidenceBatch } from './evidence-batch.ts'
import { createEvidenceFlusher, type EvidenceFlusher } from './evidence-flusher.ts'
import { prepareReading } from './evidence-reader.ts'
import { prepareWriting } from './evidence-writer.ts'
import { openEvidenceFile } from './open-evidence-file.ts'

export type SqliteEvidenceDeps = {
  readonly clock: Clock
  readonly log: Log
  /** How long what was noted may wait until it is written; 500 where it is not given. */
  readonly flushIntervalMs?: number
  /** How many records may wait where writing fails; 100,000 where it is not given. */
  readonly maxWaiting?: number
}

/**
 * Opens or makes the evidence in a SQLite file, for this process alone. Throws an EvidenceFileError where the file cannot be used; it is
 * never made anew. Queries, `flush` and `close` reject where what was noted cannot be written: then it is kept for the next try.
 */
export function openSqliteEvidence(file: string, deps: SqliteEvidenceDeps): Evidence {
  return openEvidenceFile(file, (database) => evidenceIn(database, deps))
}

function evidenceIn(database: DatabaseSync, deps: SqliteEvidenceDeps): Evidence {
  const { clock, log, flushIntervalMs = 500, maxWaiting = 100_000 } = deps
  const batch = createEvidenceBatch(maxWaiting)
  const write = prepareWriting(database)
  const reader = prepareReading(database)
  const flusher = createEvidenceFlusher({ batch, write, log, intervalMs: flushIntervalMs })

  const isNoting = (): boolean => {
    if (database.isOpen) flusher.schedule()
    else log.error({ event: 'evidence.lost', records: 1, reason: 'closed' })
    return database.isOpen
  }
  /* The statements are synchronous and short; a promise keeps their errors where the port expects them. */
  const flushed = <T>(act: () => T): Promise<T> =>
    Promise.try(() => {
      flusher.flush()
      return act()
    })
  return {
    served(nar) {
      if (isNoting()) batch.noteNar(nar, clock.nowMs())
    },
    happened(event) {
      if (isNoting()) batch.noteEvent(event, clock.nowMs())
    },
    findServed: (query, limit) => flushed(() => reader.served(query, limit)),
    findEvents: (hash, limit) => flushed(() => reader.events(hash, limit)),
    flush: () => flushed(() => undefined),
    close: () =>
      Promise.try(() => {
        if (database.isOpen) closeFlushed(database, flusher)
      }),
  }
}

function closeFlushed(database: DatabaseSync, flusher: EvidenceFlusher): void {
  try {
    flusher.flush()
  } finally {
    flusher.stop()
    database.close()
  }
}
