/** A worker thread that writes a database's journal into its file, once, beside whoever writes on. */
import { DatabaseSync } from 'node:sqlite'
import { workerData } from 'node:worker_threads'

const database = new DatabaseSync(String(workerData))
try {
  // PASSIVE waits for nobody, and nobody waits for it; what is written meanwhile is the next one's work.
  database.exec('PRAGMA wal_checkpoint(PASSIVE)')
} finally {
  database.close()
}
