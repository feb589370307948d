import { createHash } from 'node:crypto'
import { appendFile, readFile } from 'node:fs/promises'
import { ingest } from '../../src/ingest/ingestion.ts'
import { createOpenSource } from '../../src/ingest/open-source.ts'
import { formatHash } from '../../src/nix/hash.ts'
import type {
  IngestEvents,
  IngestJob,
  IngestOutcome,
  NarIngest,
} from '../../src/ports/nar-ingest.ts'
import type { Upstream } from '../../src/ports/upstream.ts'
import { askedOnce } from './ingest-run.ts'

/** One job of a fake ingestion, to be acted out by a test. */
export type FakeRun = {
  readonly job: IngestJob
  readonly events: IngestEvents
  readonly signal: AbortSignal
  /** Writes to the job's file, or gives the piece where there is none; returns the bytes in it. */
  append(bytes: Uint8Array): Promise<number>
  /** The outcome for the file as it is, from the job's first source or the one named. */
  verified(upstream?: string): Promise<IngestOutcome>
}

/** An ingestion that does what its script says. */
export type FakeNarIngest = NarIngest & { readonly jobs: readonly IngestJob[] }

export const fakeEtag = '"fake-zstd"'

export function createFakeNarIngest(
  script: (run: FakeRun) => Promise<IngestOutcome>,
): FakeNarIngest {
  const jobs: IngestJob[] = []
  return {
    jobs,
    ingest(job, events, signal) {
      jobs.push(job)
      let bytes = 0
      const written: Uint8Array[] = []
      return script({
        job,
        events,
        signal,
        append: async (more) => {
          if (job.path === null) void events.piece(new Uint8Array(more))
          else await appendFile(job.path, more)
          written.push(more)
          bytes += more.length
          return bytes
        },
        verified: async (upstream = job.sources[0]?.upstream ?? '') => {
          const digest = createHash('sha256')
            .update(job.path === null ? Buffer.concat(written) : await readFile(job.path))
            .digest()
          const fileHash = formatHash({ algorithm: 'sha256', bytes: digest })
          return { kind: 'verified', upstream, fileBytes: bytes, fileHash, etag: fakeEtag }
        },
      })
    },
    close: async () => undefined,
  }
}

/** The real chain, in this thread, which asks each source once, fed by upstreams in memory and by stored files. */
export function createInlineIngest(upstreams: readonly Upstream[]): FakeNarIngest {
  const jobs: IngestJob[] = []
  const open = createOpenSource((name) => upstreams.find((one) => one.name === name) ?? null)
  return {
    jobs,
    ingest(job, events, signal) {
      jobs.push(job)
      return ingest(job, { ...askedOnce, open }, events, signal)
    },
    close: async () => undefined,
  }
}
