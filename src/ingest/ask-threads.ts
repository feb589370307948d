import { type Demand, noDemand } from '../ports/nar-ingest.ts'
import type { JobReport, WorkerRequest } from './worker-messages.ts'
import type { WorkerThreads } from './worker-threads.ts'

/** What a report means to who waits for a result: nothing yet, or the result. */
export type Reading<Result> = { readonly result: Result } | null

/** Who waits for a job's result. */
export type Waiting = {
  readonly signal: AbortSignal
  readonly demand?: Demand
}

/**
 * Gives a job to a thread and waits for its result. An abort is passed on, and rejects only once the thread has let go of the job:
 * then what it worked on may be closed.
 */
export function askThreads<Result>(
  threads: WorkerThreads,
  request: (id: number) => WorkerRequest,
  { signal, demand = noDemand }: Waiting,
  /** `more` asks for the next piece. */
  read: (report: JobReport, more: () => void) => Reading<Result>,
): Promise<Result> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<Result>()
  const finish = (): void => {
    signal.removeEventListener('abort', abort)
    leave()
    job.end()
  }
  const more = (): void => {
    job.post({ kind: 'more', id: job.id })
  }
  const job = threads.begin(request, {
    report: (report) => {
      const reading = report.kind === 'error' ? null : read(report, more)
      if (reading !== null) resolve(reading.result)
      else if (report.kind === 'error') reject(report.error)
      else return
      finish()
    },
    died: (error) => {
      reject(error)
      finish()
    },
  })
  const abort = (): void => {
    job.post({ kind: 'abort', id: job.id })
  }
  signal.addEventListener('abort', abort)
  const leave = demand.onJoined(() => {
    job.post({ kind: 'joined', id: job.id })
  })
  return promise
}
