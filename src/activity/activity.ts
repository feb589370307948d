/** What a running Weir is doing, as plain data: shown on its page, and answered by `/api/v1`. Times are milliseconds since 1970. */
import type { AnswerResult } from '../ports/http-meter.ts'
import type { NarOnItsWay } from '../ports/nar-on-its-way.ts'
import type { NetworkState } from '../ports/network-state.ts'
import type { CircuitState } from '../ports/upstream-health.ts'

/** `GET /api/v1/overview` */
export type Overview = {
  readonly version: string
  readonly nowMs: number
  readonly startedMs: number
  /** `name:base64` */
  readonly publicKey: string
  /** The lines for a client's nix.conf, for the address that was asked. */
  readonly clientLines: readonly string[]
  readonly network: NetworkState
  readonly policy: {
    readonly epoch: string
    readonly enforce: boolean
    readonly rules: number
    readonly blocks: number
  }
  readonly cache: {
    readonly nars: number
    readonly bytes: number
    readonly limitBytes: number
    readonly pinnedBytes: number
    /** What is free on its file system; `null` before that was looked at. */
    readonly freeBytes: number | null
    /** Whether new NARs are kept: where they cannot be written they are handed on only. */
    readonly isStoring: boolean
  }
  /** In the order of the configuration. */
  readonly upstreams: readonly UpstreamOverview[]
  /** Since the start. */
  readonly totals: Totals
}

export type UpstreamOverview = {
  readonly name: string
  /** Without credentials and query. */
  readonly url: string
  readonly circuit: CircuitState
  /** Why it is suspended; `null` where it is not. */
  readonly suspended: string | null
  /** What it was asked since the start, and how often it could not tell. */
  readonly requests: number
  readonly errors: number
  /** Bytes of NAR files that it gave. */
  readonly fetchedBytes: number
  /** Of its last 100 answers; `null` where there was none. */
  readonly medianMs: number | null
  readonly p95Ms: number | null
}

export type Totals = {
  readonly narinfos: Readonly<Record<AnswerResult, number>>
  readonly nars: Readonly<Record<AnswerResult, number>>
  /** Bytes to clients, headers included. */
  readonly sentBytes: number
  /** Bytes of NAR files from upstreams. */
  readonly fetchedBytes: number
}

/** `GET /api/v1/traffic`: the last half hour in steps, the latest last; all lists are equally long. */
export type Traffic = {
  readonly stepMs: number
  /** The end of each step. */
  readonly timesMs: readonly number[]
  /** Answers a second. */
  readonly narinfosPerSecond: readonly number[]
  readonly narsPerSecond: readonly number[]
  readonly sentBytesPerSecond: readonly number[]
  readonly fetchedBytesPerSecond: readonly number[]
  /** Hits among the hits and misses of NARs, 0 to 1; `null` where there were none. */
  readonly narHitRatio: readonly (number | null)[]
  /** How long narinfos took; `null` where there were none. */
  readonly narinfoMedianMs: readonly (number | null)[]
  readonly narinfoP95Ms: readonly (number | null)[]
}

/** `GET /api/v1/transfers`: a NAR on its way in; the clients' addresses are shown only with the admin token. */
export type RunningNar = Omit<NarOnItsWay, 'clients'> & Partial<Pick<NarOnItsWay, 'clients'>>

/** `GET /api/v1/decisions`: how a client was answered for a path. */
export type Decision = {
  /** Counts up by one: `?after=` takes it. */
  readonly id: number
  readonly atMs: number
  readonly object: 'narinfo' | 'nar'
  readonly result: AnswerResult
  readonly hash: string
  readonly path: string | null
  readonly upstream: string | null
  readonly rule: string | null
  /** Why it was refused, or would be if the policy were enforced. */
  readonly reason: string | null
  /** The client's address; shown only with the admin token. */
  readonly client?: string
}

/** `GET /api/v1/paths?q=GLOB&after=…&limit=…`: what is stored, by package name. */
export type StoredPaths = {
  readonly paths: readonly StoredPath[]
  /** Where the next page begins; `null` where this is the last. A page may have few paths, or none, and a next all the same. */
  readonly next: string | null
}

export type StoredPath = {
  readonly hash: string
  /** The store path's base name. */
  readonly path: string
  readonly package: string
  /** What it takes on disk. */
  readonly diskBytes: number
  readonly narSize: number
  readonly compression: string
  readonly storedAtMs: number
  readonly usedAtMs: number
  /** Whose claim it was verified against, then who said the same. */
  readonly upstreams: readonly string[]
}

/** Which stored paths: those whose name matches the glob, those recorded last first, at most `limit`, that come after `after`. */
export type PathQuery = {
  /** `*` and `?` as in a rule's `packages`, over the name; a hash or a whole store path is itself. Without either, what contains it. */
  readonly text: string
  readonly after: string | null
  readonly limit: number
}

/** What a running Weir is doing, as it is asked. */
export type Activity = {
  /** `origin` is what the client asked, for its nix.conf: `http://weir:8484`. */
  overview(origin: string): Overview
  traffic(): Traffic
  /** The longest running first. */
  transfers(): readonly RunningNar[]
  /** Those after `after`, the latest first, at most `limit`; only the last few hundred are kept. */
  decisions(after: number, limit: number): readonly Decision[]
  /** One search at a time, in turn for each client. */
  paths(query: PathQuery, signal: AbortSignal, client?: string): Promise<StoredPaths>
}
