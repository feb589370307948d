import type { Compression, DecodableCompression } from '../nix/compression.ts'
import type { StorePathHash } from '../nix/store-path.ts'

/** Where a NAR can be had: one trusted claim's file, or one that is stored in another compression. */
export type NarSource = {
  /** Whose claim it is. */
  readonly upstream: string
  /** The claim's `URL` field. */
  readonly url: string
  /** The path of a stored file, to be read in place of the URL; it may be gone by then. */
  readonly file: string | null
  readonly compression: Compression
  /** The claim's FileHash as `algorithm:nix32`, where it has one. */
  readonly fileHash: string | null
}

/** One NAR to fetch, verify and write down. Plain data: it crosses to worker threads. */
export type IngestJob = {
  readonly storePathHash: StorePathHash
  /** `sha256:` and 52 nix32 characters. */
  readonly narHash: string
  /** Bytes. */
  readonly narSize: number
  /** The CA field that the content must satisfy too, where the claim has one. */
  readonly ca: string | null
  /** In order of preference. */
  readonly sources: readonly NarSource[]
  /** Whether each source is tried once only, since there are others to be tried before one that could not tell is asked again. */
  readonly isTriedOnce?: boolean
  /** Whether a host that refuses connections may be waited for, some seconds: not where somebody else may still promise the NAR. */
  readonly mayWait?: boolean
  /** The empty file to write to; `null` where there is none, and the file's bytes go to `piece` instead. */
  readonly path: string | null
  /** What the file is to be compressed in: a source's file in that compression is kept as it comes, others are made anew. */
  readonly compression: DecodableCompression
  /** Nothing is released before the whole NAR is verified, or its file where it is only copied; else all but the last piece is. */
  readonly verifyFirst: boolean
  /**
   * A file that is kept as it comes, and whose claim has a FileHash, is only copied: nothing but that hash is looked at.
   */
  readonly mayCopy: boolean
  readonly zstdLevel: number
}

/** Why one source did not give the NAR; `corrupt` means that what it gave is wrong, not that it is down. */
export type SourceFailure = {
  readonly upstream: string
  readonly kind: 'absent' | 'unreachable' | 'corrupt'
  /** A finite code, of `UpstreamError` or `BadNarError`. */
  readonly code: string
  /** For people. */
  readonly message: string
}

/** How a source's upstream answered: it gave the NAR, does not have it, or failed. */
export type SourceAnswer = {
  readonly upstream: string
  readonly result: 'found' | 'absent' | 'error'
  /** Until its file began to come, or until it said that it has none or failed. */
  readonly seconds: number
}

/** A whole file. */
export type DeliveredNar = {
  /** Whose source it came from. */
  readonly upstream: string
  readonly fileBytes: number
  /** sha256 of the file, as `sha256:nix32`. */
  readonly fileHash: string
  /** The representation's ETag, with its quotes. */
  readonly etag: string
}

export type IngestOutcome =
  | (DeliveredNar & { readonly kind: 'verified' })
  /** Whether it is the promised NAR is not known yet. */
  | (DeliveredNar & { readonly kind: 'copied' })
  | { readonly kind: 'failed' }
  /** The file could not be written, which is no source's fault; `code` is the system's. */
  | { readonly kind: 'unwritten'; readonly code: string; readonly message: string }

/** What an ingestion tells while it runs. */
export type IngestEvents = {
  /** The file's first `bytes` bytes may be handed out under this ETag. */
  released(bytes: number, etag: string): void
  /** An upstream was asked for a source's file, and what came of it; stored files are none of theirs. */
  sourceAnswered(answer: SourceAnswer): void
  /** A source was left for the next one. */
  sourceFailed(failure: SourceFailure): void
  /** So many more bytes came from a source over the network: told as they come, and once at its end. */
  fetched(upstream: string, bytes: number): void
  /** Without a file to write to: the file's next bytes, the receiver's to keep. Resolves once they were taken; some of them wait, not many. */
  piece(bytes: Uint8Array<ArrayBuffer>): Promise<void>
  /** Without a file to write to: another source begins the file anew. Nothing of it was released. */
  restarted(): void
}

/** Who waits for a NAR on its way. */
export type Demand = {
  /** Calls `act` whenever somebody more waits for it, until the returned function is called. */
  onJoined(act: () => void): () => void
}

/** The same, for whoever knows of them. */
export type Joins = Demand & { joined(): void }

export function createJoins(): Joins {
  const acts = new Set<() => void>()
  return {
    onJoined(act) {
      acts.add(act)
      return () => acts.delete(act)
    },
    joined() {
      for (const act of acts) act()
    },
  }
}

/** Nobody comes to a NAR on its way. */
export const noDemand: Demand = { onJoined: () => () => undefined }

/** Fetches NARs, verifies them and writes them down. It throws only what is Weir's own failure. */
export type NarIngest = {
  ingest(
    job: IngestJob,
    events: IngestEvents,
    signal: AbortSignal,
    demand?: Demand,
  ): Promise<IngestOutcome>
  close(): Promise<void>
}
