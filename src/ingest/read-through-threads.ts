import type { JobReport, WorkerRequest } from './worker-messages.ts'
import type { WorkerThreads } from './worker-threads.ts'

/** The pieces that a thread reads, one at a time: the next one is read once the last one was taken. */
export async function* readThroughThreads(
  threads: WorkerThreads,
  request: (id: number) => WorkerRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  let next = nextReport()
  const end = { isReached: false }
  const job = threads.begin(request, {
    report: (report) => {
      end.isReached = report.kind !== 'piece'
      next.resolve(report)
    },
    died: (error) => {
      end.isReached = true
      next.reject(error)
    },
  })
  const { id } = job
  const abort = (): void => {
    job.post({ kind: 'abort', id })
  }
  signal.addEventListener('abort', abort)
  try {
    for (;;) {
      const report = await next.promise
      if (report.kind === 'error') throw report.error
      if (report.kind !== 'piece') return
      next = nextReport()
      yield report.piece
      job.post({ kind: 'more', id })
    }
  } finally {
    signal.removeEventListener('abort', abort)
    if (!end.isReached) {
      // Left before the end: the file may be closed only once the thread has let go of it.
      abort()
      await next.promise.catch(() => undefined)
    }
    job.end()
  }
}

function nextReport(): PromiseWithResolvers<JobReport> {
  const next = Promise.withResolvers<JobReport>()
  next.promise.catch(() => undefined) // thrown where it is awaited
  return next
}
