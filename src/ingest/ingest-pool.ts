import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { IngestEvents, IngestOutcome, NarIngest } from '../ports/nar-ingest.ts'
import type { WorkerReport, WorkerRequest, WorkerSetup } from './worker-messages.ts'

type Running = {
  readonly worker: Worker
  readonly events: IngestEvents
  readonly resolve: (outcome: IngestOutcome) => void
  readonly reject: (error: unknown) => void
}

/** The source runs as TypeScript, the packed package as JavaScript: the worker's file has this file's extension. */
const workerFile = new URL(`../ingest-worker${extname(import.meta.url)}`, import.meta.url)

/**
 * A NAR passes as short-lived buffers outside of the heap. V8 lets twice a semi-space of them pile up, so that a young
 * generation of three times 1 MiB saves some 30 MB a thread, and costs no time that could be measured.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 3 }

/** Worker threads that can be told of other upstreams: jobs that are given later use those. */
export type IngestPool = NarIngest & { configure(setup: WorkerSetup): void }

/** Ingestion in `size` worker threads. A thread that dies fails its jobs and is replaced. */
export function createIngestPool(size: number, initial: WorkerSetup): IngestPool {
  const running = new Map<number, Running>()
  const workers = new Set<Worker>()
  let lastId = 0
  let isClosed = false
  let setup = initial

  const spawn = (): void => {
    const worker = new Worker(workerFile, { workerData: setup, resourceLimits })
    workers.add(worker)
    let failure: unknown = null
    worker.on('message', (report: WorkerReport) => {
      handle(running, report)
    })
    worker.on('error', (error) => {
      failure = error
    })
    worker.on('exit', () => {
      workers.delete(worker)
      for (const [id, job] of running) {
        if (job.worker !== worker) continue
        running.delete(id)
        job.reject(new Error('an ingest worker thread died', { cause: failure }))
      }
      if (!isClosed) spawn()
    })
  }
  for (let count = 0; count < size; count += 1) spawn()

  return {
    ingest(job, events, signal) {
      signal.throwIfAborted()
      const worker = leastBusy(workers, running)
      const id = (lastId += 1)
      const post = (message: WorkerRequest): void => {
        worker.postMessage(message)
      }
      return new Promise<IngestOutcome>((resolve, reject) => {
        const abort = (): void => {
          post({ kind: 'abort', id })
        }
        signal.addEventListener('abort', abort)
        const finished =
          <T>(settle: (value: T) => void) =>
          (value: T): void => {
            signal.removeEventListener('abort', abort)
            settle(value)
          }
        running.set(id, { worker, events, resolve: finished(resolve), reject: finished(reject) })
        post({ kind: 'start', id, job })
      })
    },
    configure(next) {
      setup = next
      const message: WorkerRequest = { kind: 'configure', setup }
      for (const worker of workers) worker.postMessage(message)
    },
    async close() {
      isClosed = true
      await Promise.all([...workers].map((worker) => worker.terminate()))
    },
  }
}

function leastBusy(workers: ReadonlySet<Worker>, running: ReadonlyMap<number, Running>): Worker {
  const loads = new Map([...workers].map((worker) => [worker, 0]))
  for (const { worker } of running.values()) loads.set(worker, (loads.get(worker) ?? 0) + 1)
  const [least] = [...loads].sort(([, one], [, other]) => one - other)
  if (least === undefined) throw new Error('no ingest worker thread is running')
  return least[0]
}

function handle(running: Map<number, Running>, report: WorkerReport): void {
  const job = running.get(report.id)
  if (job === undefined) return
  switch (report.kind) {
    case 'released':
      job.events.released(report.bytes, report.etag)
      return
    case 'source-failed':
      job.events.sourceFailed(report.failure)
      return
    case 'fetched':
      job.events.fetched(report.upstream, report.bytes)
      return
    case 'done':
      running.delete(report.id)
      job.resolve(report.outcome)
      return
    case 'error':
      running.delete(report.id)
      job.reject(report.error)
  }
}
