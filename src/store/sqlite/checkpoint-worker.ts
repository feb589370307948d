/** A worker thread that writes a database's journal into its file when it gets a message, beside whoever writes on. */
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** Who writes much asks again within this time. */
const idleMs = 5000

const port = parentPort
if (port === null) throw new Error('checkpoint-worker runs as a worker thread only')
const database = new DatabaseSync(String(workerData))
const idle = setTimeout(() => {
  port.close()
  database.close()
}, idleMs)

port.on('message', () => {
  try {
    // PASSIVE waits for nobody, and nobody waits for it; what is written meanwhile is the next one's work.
    database.exec('PRAGMA wal_checkpoint(PASSIVE)')
  } finally {
    port.postMessage('done')
    idle.refresh()
  }
})
