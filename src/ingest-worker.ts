/**
 * The composition root of the ingest worker threads: each runs whole chains (fetch, decompress, verify, encode, write),
 * so that no chunk of a NAR crosses the main thread, and reads what is stored.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { ingest, type IngestDeps } from './ingest/ingestion.ts'
import { createOpenSource } from './ingest/open-source.ts'
import { createOutages } from './ingest/outages.ts'
import { createRetryBudget } from './ingest/retry-budget.ts'
import { createStoredWork } from './ingest/stored-work.ts'
import type { WorkerReport, WorkerRequest, WorkerSetup } from './ingest/worker-messages.ts'
import { createJoins, type IngestEvents, type Joins } from './ports/nar-ingest.ts'
import type { Upstream } from './ports/upstream.ts'
import { openUpstream } from './upstream/open-upstream.ts'
import { realTiming } from './upstream/timing.ts'

const port = parentPort
if (port === null) throw new Error('ingest-worker runs as a worker thread only')

let byName = connect(workerData as WorkerSetup)
/** A job that runs, and who waits for the pieces that it sent to be taken, in their order. */
type Running = {
  readonly abort: AbortController
  readonly untaken: (() => void)[]
  readonly joins: Joins
}
const running = new Map<number, Running>()

const deps: IngestDeps = {
  open: createOpenSource((name) => byName.get(name) ?? null),
  timing: realTiming,
  budget: createRetryBudget(),
  outages: createOutages(),
}

const report = (message: WorkerReport, moved: readonly ArrayBuffer[] = []): void => {
  port.postMessage(message, moved)
}

const storedWork = createStoredWork(report)

function connect({ upstreams }: WorkerSetup): ReadonlyMap<string, Upstream> {
  return new Map(upstreams.map((options) => [options.name, openUpstream(options)]))
}

function configure(setup: WorkerSetup): void {
  const before = byName
  byName = connect(setup)
  // Running jobs finish over the connections that they have.
  for (const upstream of before.values()) void upstream.close()
}

async function start({ id, job }: Extract<WorkerRequest, { kind: 'start' }>): Promise<void> {
  const abort = new AbortController()
  const untaken: Running['untaken'] = []
  const joins = createJoins()
  running.set(id, { abort, untaken, joins })
  const events: IngestEvents = {
    released: (bytes, etag) => {
      report({ kind: 'released', id, bytes, etag })
    },
    sourceAnswered: (answer) => {
      report({ kind: 'source-answered', id, answer })
    },
    sourceFailed: (failure) => {
      report({ kind: 'source-failed', id, failure })
    },
    fetched: (upstream, bytes) => {
      report({ kind: 'fetched', id, upstream, bytes })
    },
    piece: (piece) => {
      report({ kind: 'piece', id, piece }, [piece.buffer])
      return new Promise((resolve) => {
        untaken.push(resolve)
      })
    },
    restarted: () => {
      report({ kind: 'restarted', id })
    },
  }
  try {
    const outcome = await ingest(job, deps, events, abort.signal, joins)
    report({ kind: 'done', id, outcome })
  } catch (error) {
    report({ kind: 'error', id, error })
  } finally {
    running.delete(id)
  }
}

port.on('message', (message: WorkerRequest) => {
  switch (message.kind) {
    case 'start':
      void start(message)
      return
    case 'list':
    case 'verify':
    case 'read':
      void storedWork.start(message)
      return
    case 'more':
      running.get(message.id)?.untaken.shift()?.()
      storedWork.more(message.id)
      return
    case 'joined':
      running.get(message.id)?.joins.joined()
      return
    case 'abort':
      running.get(message.id)?.abort.abort()
      storedWork.abort(message.id)
      return
    case 'configure':
      configure(message.setup)
  }
})
report({ kind: 'ready' })
