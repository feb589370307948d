import type { Compression } from '../nix/compression.ts'
import type { IngestJob, IngestOutcome, SourceAnswer, SourceFailure } from '../ports/nar-ingest.ts'
import type { ListOutcome, NarPart, PromisedNar } from '../ports/nar-reader.ts'
import type { UpstreamOptions } from '../upstream/upstream-options.ts'

/** What a worker thread is started with. */
export type WorkerSetup = { readonly upstreams: readonly UpstreamOptions[] }

/** A stored NAR's file, which the main thread keeps open until the answer: threads of one process share its descriptors. */
export type SharedFile = { readonly fd: number; readonly compression: Compression }

/** Work on a stored NAR. */
export type StoredRequest =
  | {
      readonly kind: 'list' | 'verify'
      readonly id: number
      readonly stored: SharedFile
      readonly promised: PromisedNar
    }
  /** Answered by pieces, the next one after a `more`. */
  | {
      readonly kind: 'read'
      readonly id: number
      readonly stored: SharedFile
      readonly part: NarPart
    }

/** From the main thread to a worker; `id` is the job's. */
export type WorkerRequest =
  | { readonly kind: 'start'; readonly id: number; readonly job: IngestJob }
  | StoredRequest
  /** A piece was taken, each in its turn. */
  | { readonly kind: 'more'; readonly id: number }
  /** Somebody more waits for what the job brings. */
  | { readonly kind: 'joined'; readonly id: number }
  | { readonly kind: 'abort'; readonly id: number }
  /** Jobs that start later use these upstreams. */
  | { readonly kind: 'configure'; readonly setup: WorkerSetup }

/** From a worker to the main thread, of the job `id`. */
export type JobReport =
  | {
      readonly kind: 'released'
      readonly id: number
      readonly bytes: number
      readonly etag: string
    }
  | { readonly kind: 'source-answered'; readonly id: number; readonly answer: SourceAnswer }
  | { readonly kind: 'source-failed'; readonly id: number; readonly failure: SourceFailure }
  | {
      readonly kind: 'fetched'
      readonly id: number
      readonly upstream: string
      readonly bytes: number
    }
  | { readonly kind: 'restarted'; readonly id: number }
  | { readonly kind: 'done'; readonly id: number; readonly outcome: IngestOutcome }
  | { readonly kind: 'listed'; readonly id: number; readonly outcome: ListOutcome }
  | { readonly kind: 'verified'; readonly id: number; readonly isRight: boolean }
  | { readonly kind: 'piece'; readonly id: number; readonly piece: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'read'; readonly id: number }
  | { readonly kind: 'error'; readonly id: number; readonly error: unknown }

/** From a worker to the main thread. */
export type WorkerReport =
  | JobReport
  /** It has started, and takes requests. */
  | { readonly kind: 'ready' }
