import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** Writes a database's journal into its file, off the main thread, which the disk's fsync would hold up. */
export type Checkpointer = {
  /** Counts rows that were written. Resolves at once, or where the journal has grown long, once it was written down: for who can wait. */
  wrote(rows: number): Promise<void>
  /** Resolves when nothing runs any more. */
  close(): Promise<void>
}

/** Some 20 MB of journal … */
const rowsBetween = 4000
/** … and 150 MB. What is written while a checkpoint runs makes the journal go on, so that only who waits lets it begin anew. */
const rowsAtMost = 30_000

const workerFile = new URL(`./checkpoint-worker${extname(import.meta.url)}`, import.meta.url)

/** SQLite's own checkpoints, which `autocheckpointPages` allows for, are the net under one that fails. */
export const autocheckpointPages = 64_000

export function createCheckpointer(file: string): Checkpointer {
  let rows = 0
  let sinceEmpty = 0
  let running: Promise<void> | null = null
  const thread = createCheckpointThread(file)

  const start = (): Promise<void> => {
    rows = 0
    return thread.checkpoint().finally(() => {
      running = null
    })
  }
  return {
    async wrote(count) {
      rows += count
      sinceEmpty += count
      if (rows >= rowsBetween) running ??= start()
      if (sinceEmpty < rowsAtMost) return
      await running
      await (running ??= start())
      sinceEmpty = 0
    },
    async close() {
      await running
      await thread.end()
    },
  }
}

type CheckpointThread = {
  /** Resolves at its end, well or not: the next one does what this one did not. One at a time. */
  checkpoint(): Promise<void>
  end(): Promise<void>
}

/** A thread that is begun when it is needed: to begin one takes longer than most checkpoints. It ends by itself where it is not. */
function createCheckpointThread(file: string): CheckpointThread {
  let worker: Worker | null = null
  let done = (): void => undefined
  const begin = (): Worker => {
    const begun = new Worker(workerFile, { workerData: file })
    begun.on('message', () => {
      // One that has nothing to do keeps nobody from ending.
      begun.unref()
      done()
    })
    begun.on('error', () => undefined)
    begun.once('exit', () => {
      worker = null
      done()
    })
    return begun
  }
  return {
    checkpoint() {
      return new Promise((resolve) => {
        done = resolve
        worker ??= begin()
        // Who waits for it must not end meanwhile.
        worker.ref()
        worker.postMessage('checkpoint')
      })
    },
    async end() {
      await worker?.terminate()
    },
  }
}
