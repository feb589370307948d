/** A fixed number of worker threads that take jobs; one that dies fails its jobs and is replaced. */
import { Worker, type WorkerOptions } from 'node:worker_threads'
import type { JobReport, WorkerReport, WorkerRequest } from './worker-messages.ts'

/** What a job's owner hears: every report, or that its thread died. */
export type JobOwner = {
  report(report: JobReport): void
  died(error: Error): void
}

/** A job that was given to a thread. */
export type Job = {
  /** Tells its thread more of it. */
  post(message: WorkerRequest): void
  /** It is over: nothing more is heard of it. */
  end(): void
}

export type WorkerThreads = {
  /** Gives a job to the least busy thread; throws where none runs. */
  begin(request: (id: number) => WorkerRequest, owner: JobOwner): Job & { readonly id: number }
  /** Tells every thread, those of later too by what `options` then says. */
  tellAll(message: WorkerRequest): void
  /** How many run. */
  count(): number
  close(): Promise<void>
}

export type ThreadOptions = {
  readonly size: number
  readonly file: URL
  /** What the next thread is started with. */
  readonly options: () => WorkerOptions
  /** A thread died; it is replaced. */
  readonly died: (error: unknown) => void
  /** Acts after a while, unless what it returns is called before; `setTimeout` by default. */
  readonly later?: Later
}

export type Later = (act: () => void, delayMs: number) => () => void

const firstPauseMs = 100
const maxPauseMs = 30_000

/** How long nothing is started after so many threads in a row that died at their start. */
export function pauseAfter(failures: number): number {
  return failures === 0 ? 0 : Math.min(maxPauseMs, firstPauseMs * 2 ** (failures - 1))
}

export function createWorkerThreads(deps: ThreadOptions): WorkerThreads {
  const { later = afterTimeout } = deps
  const owners = new Map<number, { readonly worker: Worker; readonly owner: JobOwner }>()
  const workers = new Set<Worker>()
  const pauses = new Set<() => void>()
  let lastId = 0
  let isClosed = false
  let failedStarts = 0
  let lastFailure: unknown = null

  const spawn = (): void => {
    const worker = new Worker(deps.file, deps.options())
    workers.add(worker)
    let isReady = false
    let failure: unknown = null
    worker.on('message', (report: WorkerReport) => {
      if (report.kind === 'ready') {
        isReady = true
        failedStarts = 0
      } else {
        owners.get(report.id)?.owner.report(report)
      }
    })
    worker.on('error', (error) => {
      failure = error
    })
    worker.on('exit', () => {
      workers.delete(worker)
      failJobsOf(owners, worker, failure)
      if (isClosed) return
      lastFailure = failure
      deps.died(failure)
      failedStarts = isReady ? 0 : failedStarts + 1
      replace()
    })
  }
  const replace = (): void => {
    if (failedStarts === 0) {
      spawn()
      return
    }
    const cancel = later(() => {
      pauses.delete(cancel)
      spawn()
    }, pauseAfter(failedStarts))
    pauses.add(cancel)
  }
  for (let count = 0; count < deps.size; count += 1) spawn()

  return {
    begin(request, owner) {
      const worker = leastBusy(workers, owners)
      if (worker === null) {
        throw new Error('no ingest worker thread runs', { cause: lastFailure })
      }
      const id = (lastId += 1)
      owners.set(id, { worker, owner })
      worker.postMessage(request(id))
      return {
        id,
        post: (message) => {
          worker.postMessage(message)
        },
        end: () => owners.delete(id),
      }
    },
    tellAll(message) {
      for (const worker of workers) worker.postMessage(message)
    },
    count: () => workers.size,
    async close() {
      isClosed = true
      for (const cancel of pauses) cancel()
      await Promise.all([...workers].map((worker) => worker.terminate()))
    },
  }
}

type Owners = ReadonlyMap<number, { readonly worker: Worker; readonly owner: JobOwner }>

function leastBusy(workers: ReadonlySet<Worker>, owners: Owners): Worker | null {
  const loads = new Map([...workers].map((worker) => [worker, 0]))
  for (const { worker } of owners.values()) loads.set(worker, (loads.get(worker) ?? 0) + 1)
  const [least] = [...loads].sort(([, one], [, other]) => one - other)
  return least?.[0] ?? null
}

function failJobsOf(
  owners: Map<number, { worker: Worker; owner: JobOwner }>,
  dead: Worker,
  cause: unknown,
): void {
  for (const [id, { worker, owner }] of owners) {
    if (worker !== dead) continue
    owners.delete(id)
    owner.died(new Error('an ingest worker thread died', { cause }))
  }
}

function afterTimeout(act: () => void, delayMs: number): () => void {
  const timer = setTimeout(act, delayMs)
  timer.unref()
  return () => {
    clearTimeout(timer)
  }
}
