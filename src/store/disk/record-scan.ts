import type { KeyObject } from 'node:crypto'
import { extname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { ScannedRecords } from './scan-records.ts'

/** The folder of a store, and the key that its records are sealed with. */
export type ScanSetup = { readonly dir: string; readonly key: KeyObject }

const workerFile = new URL(`./scan-worker${extname(import.meta.url)}`, import.meta.url)

/** How many batches the thread may be ahead. */
const maxAhead = 8

/** The records in a store's files (`scanRecords`), read by a thread that is gone at the end, or when nobody wants more. */
export async function* recordsInFiles(
  setup: ScanSetup,
  signal: AbortSignal,
): AsyncGenerator<ScannedRecords> {
  signal.throwIfAborted()
  const worker = new Worker(workerFile, { workerData: setup })
  const found: (ScannedRecords | null)[] = []
  let failure: Error | null = null
  let wake = (): void => undefined
  worker.on('message', (batch: ScannedRecords | null) => {
    found.push(batch)
    wake()
  })
  worker.on('error', (error) => {
    failure = new Error('the store cannot be scanned', { cause: error })
  })
  worker.on('exit', () => {
    failure ??= new Error('the thread that scans the store died')
    wake()
  })
  const abort = (): void => {
    wake()
  }
  signal.addEventListener('abort', abort)
  try {
    for (let ahead = 0; ahead < maxAhead; ahead += 1) worker.postMessage('next')
    for (;;) {
      signal.throwIfAborted()
      const batch = found.shift()
      if (batch === null) return
      if (batch !== undefined) {
        yield batch
        worker.postMessage('next')
        // What is written down without a pause holds up everything else for all that the thread is ahead.
        await setImmediate()
        continue
      }
      throwFailure(failure)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    signal.removeEventListener('abort', abort)
    await worker.terminate()
  }
}

function throwFailure(failure: Error | null): void {
  if (failure !== null) throw failure
}
