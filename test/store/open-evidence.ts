import { DatabaseSync } from 'node:sqlite'
import {
  openSqliteEvidence,
  type SqliteEvidenceDeps,
} from '../../src/store/sqlite/sqlite-evidence.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createSilentLog } from '../fakes/silent-log.ts'

/* Nothing is written by itself, unless a test says so. */
const neverMs = 1_000_000

/** Evidence in a file, with a log that is kept. */
export function openEvidence(file: string, changes: Partial<SqliteEvidenceDeps> = {}) {
  const log = createSilentLog()
  const clock = createFixedClock()
  const deps = { clock, log, flushIntervalMs: neverMs, ...changes }
  return { evidence: openSqliteEvidence(file, deps), log, clock }
}

/** Another connection that changes the file. */
export function change(file: string, sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}
