/** A worker thread that scans a store for records: a batch for each message that it gets, `null` after the last one. */
import { parentPort, workerData } from 'node:worker_threads'
import type { ScanSetup } from './record-scan.ts'
import { scanRecords } from './scan-records.ts'

const port = parentPort
if (port === null) throw new Error('scan-worker runs as a worker thread only')
const { dir, key } = workerData as ScanSetup
const batches = scanRecords(dir, key)

port.on('message', () => {
  const next = batches.next()
  port.postMessage(next.done === true ? null : next.value)
  if (next.done === true) port.close()
})
