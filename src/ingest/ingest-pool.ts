import { extname } from 'node:path'
import { type IngestEvents, type NarIngest, noDemand } from '../ports/nar-ingest.ts'
import type { NarReader, PromisedNar, StoredFile } from '../ports/nar-reader.ts'
import { askThreads } from './ask-threads.ts'
import { readThroughThreads } from './read-through-threads.ts'
import type { JobReport, SharedFile, WorkerSetup } from './worker-messages.ts'
import { createWorkerThreads, type Later, type WorkerThreads } from './worker-threads.ts'

/** The source runs as TypeScript, the packed package as JavaScript: the worker's file has this file's extension. */
const workerFile = new URL(`../ingest-worker${extname(import.meta.url)}`, import.meta.url)

/**
 * A NAR passes as short-lived buffers outside of the heap. V8 lets twice a semi-space of them pile up, so that a young
 * generation of three times 1 MiB saves some 30 MB a thread, and costs no time that could be measured.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 3 }

/** Worker threads that can be told of other upstreams: jobs that are given later use those. */
export type IngestPool = NarIngest & {
  /** The same threads, at work on NARs that are stored. */
  readonly reader: NarReader
  /** How many threads run. */
  threads(): number
  configure(setup: WorkerSetup): void
}

export type PoolOptions = {
  /** A thread died, which fails its jobs; it is replaced, after a pause where it died at its start. */
  readonly died?: (error: unknown) => void
  readonly later?: Later
  /** What the threads run. */
  readonly file?: URL
}

/** Ingestion in `size` worker threads. A thread that dies fails its jobs and is replaced. */
export function createIngestPool(
  size: number,
  initial: WorkerSetup,
  { died = () => undefined, file = workerFile, ...timing }: PoolOptions = {},
): IngestPool {
  let setup = initial
  const threads = createWorkerThreads({
    ...{ size, file, died, ...timing },
    options: () => ({ workerData: setup, resourceLimits }),
  })
  return {
    reader: createReader(threads),
    async ingest(job, events, signal, demand = noDemand) {
      return await askThreads(
        threads,
        (id) => ({ kind: 'start', id, job }),
        { signal, demand },
        (report, more) => {
          tell(events, report, more)
          return report.kind === 'done' ? { result: report.outcome } : null
        },
      )
    },
    configure(next) {
      setup = next
      threads.tellAll({ kind: 'configure', setup })
    },
    threads: () => threads.count(),
    close: () => threads.close(),
  }
}

/** Tells of what a thread reports while it runs; `more` says that a piece was taken. */
function tell(events: IngestEvents, report: JobReport, more: () => void): void {
  if (report.kind === 'released') events.released(report.bytes, report.etag)
  else if (report.kind === 'source-answered') events.sourceAnswered(report.answer)
  else if (report.kind === 'source-failed') events.sourceFailed(report.failure)
  else if (report.kind === 'fetched') events.fetched(report.upstream, report.bytes)
  else if (report.kind === 'piece') void events.piece(report.piece).then(more)
  else if (report.kind === 'restarted') events.restarted()
}

function createReader(threads: WorkerThreads): NarReader {
  return {
    async list(file, narinfo, signal) {
      const [stored, promised] = [shared(file), promisedOf(narinfo)]
      return await askThreads(
        threads,
        (id) => ({ kind: 'list', id, stored, promised }),
        { signal },
        (report) => (report.kind === 'listed' ? { result: report.outcome } : null),
      )
    },
    async verify(file, narinfo, signal) {
      const [stored, promised] = [shared(file), promisedOf(narinfo)]
      return await askThreads(
        threads,
        (id) => ({ kind: 'verify', id, stored, promised }),
        { signal },
        (report) => (report.kind === 'verified' ? { result: report.isRight } : null),
      )
    },
    read: (file, part, signal) =>
      readThroughThreads(
        threads,
        (id) => ({ kind: 'read', id, stored: shared(file), part }),
        signal,
      ),
  }
}

function shared({ file, compression }: StoredFile): SharedFile {
  return { fd: file.fd, compression }
}

/** Only what is needed crosses to the thread. */
function promisedOf({ storePath, narHash, narSize, ca }: PromisedNar): PromisedNar {
  return { storePath, narHash, narSize, ca }
}
