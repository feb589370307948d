import type { IngestJob, IngestOutcome, SourceFailure } from '../ports/nar-ingest.ts'
import type { HttpUpstreamOptions } from '../upstream/http-upstream.ts'

/** What a worker thread is started with. */
export type WorkerSetup = { readonly upstreams: readonly HttpUpstreamOptions[] }

/** From the main thread to a worker; `id` is the job's. */
export type WorkerRequest =
  | { readonly kind: 'start'; readonly id: number; readonly job: IngestJob }
  | { readonly kind: 'abort'; readonly id: number }
  /** Jobs that start later use these upstreams. */
  | { readonly kind: 'configure'; readonly setup: WorkerSetup }

/** From a worker to the main thread. */
export type WorkerReport =
  | {
      readonly kind: 'released'
      readonly id: number
      readonly bytes: number
      readonly etag: string
    }
  | { readonly kind: 'source-failed'; readonly id: number; readonly failure: SourceFailure }
  | {
      readonly kind: 'fetched'
      readonly id: number
      readonly upstream: string
      readonly bytes: number
    }
  | { readonly kind: 'done'; readonly id: number; readonly outcome: IngestOutcome }
  | { readonly kind: 'error'; readonly id: number; readonly error: unknown }
