/** A worker thread's part of the work on stored NARs. */
import { read } from 'node:fs'
import { promisify } from 'node:util'
import { listStored } from './list-stored.ts'
import { readStored } from './read-stored.ts'
import type { Readable } from './stored-pieces.ts'
import { verifyStored } from './verify-stored.ts'
import type { JobReport, StoredRequest } from './worker-messages.ts'

/** Does what is asked, and reports it: one result or error for each request, after which its file is not touched any more. */
export type StoredWork = {
  start(request: StoredRequest): Promise<void>
  /** The last piece of a read was taken. */
  more(id: number): void
  abort(id: number): void
}

type Running = { readonly abort: AbortController; more: PromiseWithResolvers<undefined> }

export function createStoredWork(report: (message: JobReport) => void): StoredWork {
  const running = new Map<number, Running>()

  /** The last report. */
  const perform = async (
    request: StoredRequest,
    file: Readable,
    job: Running,
  ): Promise<JobReport> => {
    const { id } = request
    const { compression } = request.stored
    switch (request.kind) {
      case 'list':
        return {
          kind: 'listed',
          id,
          outcome: await listStored(file, compression, request.promised),
        }
      case 'verify':
        return {
          kind: 'verified',
          id,
          isRight: await verifyStored(file, compression, request.promised),
        }
      case 'read':
        for await (const piece of readStored(file, compression, request.part)) {
          job.more = Promise.withResolvers()
          // A view would take all that it is a view of along.
          report({ kind: 'piece', id, piece: new Uint8Array(piece) })
          await job.more.promise
          job.abort.signal.throwIfAborted()
        }
        return { kind: 'read', id }
    }
  }

  return {
    async start(request) {
      const { id } = request
      const job: Running = { abort: new AbortController(), more: Promise.withResolvers() }
      running.set(id, job)
      const file = openShared(request.stored.fd, job.abort.signal)
      const last = await perform(request, file, job).catch((error: unknown): JobReport => ({
        kind: 'error',
        id,
        error,
      }))
      running.delete(id)
      await file.letGo()
      report(last)
    },
    more(id) {
      running.get(id)?.more.resolve(undefined)
    },
    abort(id) {
      const job = running.get(id)
      job?.abort.abort()
      job?.more.resolve(undefined)
    },
  }
}

const readAt = promisify(read)

/** A file that another thread has open: decoders read ahead, so that it takes a moment to let go of it. */
function openShared(
  fd: number,
  signal: AbortSignal,
): Readable & { readonly letGo: () => Promise<void> } {
  const reads = new Set<Promise<unknown>>()
  let isLetGo = false
  return {
    async read(buffer, position) {
      signal.throwIfAborted()
      if (isLetGo) return 0
      const reading = readAt(fd, buffer, 0, buffer.length, position)
      reads.add(reading)
      try {
        return (await reading).bytesRead
      } finally {
        reads.delete(reading)
      }
    },
    async letGo() {
      isLetGo = true
      await Promise.allSettled(reads)
    },
  }
}
