import type { DrvOutput } from '../nix/drv-output.ts'
import type { StorePathHash } from '../nix/store-path.ts'

/**
 * Why an upstream could not tell, or must not be followed. The first group says that it is down or slow, the second
 * that what it said is refused.
 */
export type UpstreamErrorCode =
  | 'connect'
  | 'timeout'
  | 'reset'
  | 'status'
  /** It failed so often that it is not asked for a while. */
  | 'breaker-open'
  /** Weir itself has too many questions to it. */
  | 'overloaded'
  /** What Weir was to show it cannot be read. */
  | 'credentials'
  /** One of the two does not believe the other's certificate. */
  | 'tls'
  | 'too-large'
  /** Its bytes come, at a rate at which nobody would wait for them. */
  | 'too-slow'
  /** They come so slowly that another source is asked first. */
  | 'outpaced'
  | 'unexpected-encoding'
  /** It answered with a web page, as a network does that wants somebody to log in. */
  | 'web-page'
  | 'url-refused'
  | 'redirect-refused'
  | 'address-refused'

/** An upstream that could not tell: never the same as "not there", which is `null`. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly code: UpstreamErrorCode
  /** The HTTP status, where the code is `status`. */
  readonly status: number | null
  /** How long it asks not to be asked (`Retry-After`), in milliseconds; `null` where it does not say. */
  readonly retryAfterMs: number | null
  /** Whether its own host is there and refused the connection, as where its server is being started anew. */
  readonly isRefusal: boolean

  constructor(
    code: UpstreamErrorCode,
    message: string,
    options?: ErrorOptions & {
      readonly status?: number
      readonly retryAfterMs?: number | null
      readonly isRefusal?: boolean
    },
  ) {
    super(message, options)
    this.code = code
    this.status = options?.status ?? null
    this.retryAfterMs = options?.retryAfterMs ?? null
    this.isRefusal = options?.isRefusal ?? false
  }
}

/** Who asks, and how much it matters. */
export type Asking = {
  /** For whom: the questions of different clients take turns. */
  readonly client: string
  /** Nobody else can answer: it is asked, for a moment, even where it is known to be down. */
  readonly isLastHope: boolean
}

/** A body as it comes; reading may throw `UpstreamError`. */
export type UpstreamBody = AsyncIterable<Uint8Array>

/** A binary cache that Weir asks. `null` means that it certainly does not have it; anything else is thrown. */
export type Upstream = {
  readonly name: string
  /** The cache's `nix-cache-info`, at most 64 KiB. */
  cacheInfo(signal: AbortSignal): Promise<Uint8Array | null>
  /** The claim for a store path's hash, within the bounds of the narinfo format. */
  narinfo(hash: StorePathHash, signal: AbortSignal, asking?: Asking): Promise<Uint8Array | null>
  /** The file at a narinfo's `URL` field; addresses that lead elsewhere are refused. */
  nar(url: string, signal: AbortSignal): Promise<UpstreamBody | null>
  /** The build log of a derivation's base name, as text without any encoding. */
  buildLog(derivation: string, signal: AbortSignal): Promise<UpstreamBody | null>
  /** What an output of a derivation is said to be, at most 64 KiB of JSON. */
  realisation(output: DrvOutput, signal: AbortSignal): Promise<Uint8Array | null>
  close(): Promise<void>
}
