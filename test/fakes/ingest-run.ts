/** Running the chain of one NAR against sources that a test makes up. */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { ingest, type IngestDeps } from '../../src/ingest/ingestion.ts'
import { noPatience } from '../../src/ingest/outages.ts'
import { noRetries } from '../../src/ingest/retry-budget.ts'
import { formatHash } from '../../src/nix/hash.ts'
import {
  type Demand,
  type IngestJob,
  type IngestOutcome,
  type NarSource,
  noDemand,
  type SourceFailure,
} from '../../src/ports/nar-ingest.ts'
import type { UpstreamBody } from '../../src/ports/upstream.ts'
import { realTiming } from '../../src/upstream/timing.ts'
import { pathHash } from '../nix/fixtures.ts'

/** What a source gives when it is opened; throwing is an outage. */
export type Give = (signal: AbortSignal) => UpstreamBody | null

/** A source, xz where nothing else is said, and what it gives. */
export type TestSource = Partial<NarSource> & { readonly give: Give }

export type IngestRun = {
  readonly outcome: IngestOutcome
  /** The file as it was left. */
  readonly file: Buffer
  /** What was told, in order. */
  readonly events: readonly IngestEvent[]
  /** The file's released part at the time of each release. */
  readonly released: readonly Buffer[]
}

export type IngestEvent =
  | { readonly kind: 'released'; readonly bytes: number; readonly etag: string }
  | { readonly kind: 'failed'; readonly failure: SourceFailure }
  | { readonly kind: 'fetched'; readonly upstream: string; readonly bytes: number }

/** sha256 as `sha256:nix32`. */
export function sha256(bytes: Uint8Array): string {
  return formatHash({ algorithm: 'sha256', bytes: createHash('sha256').update(bytes).digest() })
}

/** A job with a file to write to. */
export type FileJob = IngestJob & { readonly path: string }

/** What is told of a job that has a file. */
export const noPieces = {
  piece: () => Promise.resolve(),
  restarted: () => undefined,
  sourceAnswered: () => undefined,
}

/** A job for a NAR, verified first and without a content address where nothing else is said. */
export function jobFor(nar: Uint8Array, path: string, changes: Partial<FileJob> = {}): FileJob {
  return {
    storePathHash: pathHash('00000000000000000000000000000000'),
    narHash: sha256(nar),
    narSize: nar.length,
    ca: null,
    sources: [],
    path,
    verifyFirst: true,
    mayCopy: false,
    compression: 'zstd',
    zstdLevel: 1,
    ...changes,
  }
}

/** Plain sources named `first`, `second` … in the order given. */
export function plainSources(sources: readonly TestSource[]): readonly NarSource[] {
  const names = ['first', 'second', 'third', 'fourth']
  return sources.map(({ give: _, ...source }, index) => ({
    upstream: names[index] ?? `source ${index}`,
    url: `nar/${index}`,
    compression: 'xz',
    fileHash: null,
    file: null,
    ...source,
  }))
}

/** Each source is asked once. */
export const askedOnce: Omit<IngestDeps, 'open'> = {
  ...{ timing: realTiming, budget: noRetries, outages: noPatience },
}

export type RunOptions = {
  readonly signal?: AbortSignal
  readonly retries?: Omit<IngestDeps, 'open'>
  readonly demand?: Demand
}

/** Runs the chain into a fresh file at the job's path; each source is tried once where nothing else is said. */
export async function runIngest(
  job: FileJob,
  sources: readonly TestSource[],
  {
    signal = new AbortController().signal,
    retries = askedOnce,
    demand = noDemand,
  }: RunOptions = {},
): Promise<IngestRun> {
  writeFileSync(job.path, '')
  const plain = plainSources(sources)
  const gives = new Map(plain.map(({ url }, index) => [url, sources[index]?.give]))
  const events: IngestEvent[] = []
  const released: Buffer[] = []
  const outcome = await ingest(
    { ...job, sources: plain },
    { ...retries, open: async ({ url }, signal) => gives.get(url)?.(signal) ?? null },
    {
      released: (bytes, etag) => {
        events.push({ kind: 'released', bytes, etag })
        released.push(readFileSync(job.path).subarray(0, bytes))
      },
      sourceFailed: (failure) => {
        events.push({ kind: 'failed', failure })
      },
      fetched: (upstream, bytes) => {
        events.push({ kind: 'fetched', upstream, bytes })
      },
      ...noPieces,
    },
    signal,
    demand,
  )
  return { outcome, file: readFileSync(job.path), events, released }
}

/** The codes with which sources failed, in order. */
export function failureCodes({ events }: Pick<IngestRun, 'events'>): readonly string[] {
  return events.flatMap((event) => (event.kind === 'failed' ? [event.failure.code] : []))
}
