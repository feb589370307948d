import { parseContentAddress } from '../nix/content-address.ts'
import { parseHash } from '../nix/hash.ts'
import type {
  IngestEvents,
  IngestJob,
  IngestOutcome,
  NarSource,
  SourceFailure,
} from '../ports/nar-ingest.ts'
import type { UpstreamBody } from '../ports/upstream.ts'
import { assertDecodable, decodeNar } from './decode-nar.ts'
import { createEncoder } from './encoders.ts'
import { keepCopied, keepVerified } from './keep-body.ts'
import { NarVerifier } from './nar-verifier.ts'
import { type NarSink, UnwrittenError } from './nar-sink.ts'
import { PartialFile } from './partial-file.ts'
import { Prefix } from './prefix.ts'
import { Recoding } from './recoding.ts'
import { keptEtag, madeEtag, uniqueEtag } from './representation.ts'
import { sourceBody } from './source-body.ts'
import { absentSource, sourceFailure } from './source-failure.ts'
import { StreamSink, streamWindowBytes } from './stream-sink.ts'

/** Opens a source's file: `null` where the upstream certainly does not have it, `UpstreamError` where it could not tell. */
export type OpenSource = (source: NarSource, signal: AbortSignal) => Promise<UpstreamBody | null>

/** Runs the whole chain of one NAR: fetch, decompress, verify, encode, write. */
export async function ingest(
  job: IngestJob,
  open: OpenSource,
  events: IngestEvents,
  signal: AbortSignal,
): Promise<IngestOutcome> {
  try {
    return await ingestWritten(job, open, events, signal)
  } catch (error) {
    if (!(error instanceof UnwrittenError)) throw error
    return { kind: 'unwritten', code: error.code, message: error.message }
  }
}

/** The same; throws `UnwrittenError` where the file cannot be written. */
async function ingestWritten(
  job: IngestJob,
  open: OpenSource,
  events: IngestEvents,
  signal: AbortSignal,
): Promise<IngestOutcome> {
  using file = openSink(job, events, signal)
  using ingestion = new Ingestion(job, file, open, events)
  for (const source of job.sources) {
    signal.throwIfAborted()
    const failure = await ingestion.tryOne(source, signal)
    if (failure === null) return ingestion.outcome(source.upstream)
    events.sourceFailed(failure)
    if (!ingestion.canGoOn(failure)) break
  }
  return { kind: 'failed' }
}

function openSink(
  { path, verifyFirst }: IngestJob,
  events: IngestEvents,
  signal: AbortSignal,
): NarSink {
  if (path !== null) return new PartialFile(path)
  const windowBytes = verifyFirst ? Infinity : streamWindowBytes
  return new StreamSink({ events, windowBytes, signal })
}

class Ingestion implements Disposable {
  readonly #job: IngestJob
  readonly #file: NarSink
  readonly #open: OpenSource
  readonly #events: IngestEvents
  #recoding: Recoding | null = null
  /** Whether what is written is held against the promised NAR. */
  #isVerified = true
  #etag = ''
  #released = 0

  constructor(job: IngestJob, file: NarSink, open: OpenSource, events: IngestEvents) {
    this.#job = job
    this.#file = file
    this.#open = open
    this.#events = events
  }

  /** `null` where the source gave the promised NAR. */
  async tryOne(source: NarSource, signal: AbortSignal): Promise<SourceFailure | null> {
    const { upstream } = source
    try {
      assertDecodable(source.compression)
      // What cannot be made is not asked for.
      if (!this.#isKept(source)) this.#recoding ??= await this.#createRecoding()
      const opened = await this.#open(source, signal)
      if (opened === null) return absentSource(upstream)
      await this.#take(source, sourceBody(source, opened, this.#job.narSize, this.#events))
      return null
    } catch (error) {
      signal.throwIfAborted()
      // Decoders and encoders throw it on as their own.
      if (this.#file.failure !== null) throw this.#file.failure
      return sourceFailure(upstream, error)
    }
  }

  /** Whether another source may follow; prepares for it. */
  canGoOn(failure: SourceFailure): boolean {
    if (this.#released > 0) {
      // What was handed out stands. Wrong bytes cannot be called back; a cut connection can be gone on from.
      const isCut = failure.kind !== 'corrupt' || failure.code === 'undecodable'
      return isCut && this.#recoding !== null
    }
    this.#recoding?.[Symbol.dispose]()
    this.#recoding = null
    this.#file.restart()
    return true
  }

  outcome(upstream: string): IngestOutcome {
    const fileHash = this.#file.hash()
    const etag = this.#recoding === null ? keptEtag(fileHash) : this.#etag
    const kind = this.#isVerified ? 'verified' : 'copied'
    return { kind, upstream, fileBytes: this.#file.bytes, fileHash, etag }
  }

  [Symbol.dispose](): void {
    this.#recoding?.[Symbol.dispose]()
  }

  #take(source: NarSource, body: AsyncIterable<Uint8Array>): Promise<void> {
    this.#isVerified = true
    return this.#recoding === null
      ? this.#keep(source, body)
      : this.#recode(this.#recoding, decodeNar(source.compression, body, this.#job.narSize))
  }

  #isKept({ compression, fileHash }: NarSource): boolean {
    if (compression !== this.#job.compression || this.#released > 0) return false
    // A zstd file whose hash nobody says could not be named while it is handed out: it is made anew.
    return fileHash !== null || compression !== 'zstd'
  }

  async #keep(
    { compression, fileHash }: NarSource,
    body: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    // What goes past its one reader can wait for no name: this one says that no rest of it can be had.
    const unnamed = this.#job.path === null ? uniqueEtag() : ''
    this.#etag = fileHash === null ? unnamed : keptEtag(fileHash)
    const kept = {
      file: this.#file,
      release: (bytes: number) => {
        if (this.#etag !== '') this.#release(bytes)
      },
    }
    if (this.#job.mayCopy && fileHash?.startsWith('sha256:') === true) {
      this.#isVerified = false
      await keepCopied(kept, body, fileHash)
    } else {
      await keepVerified(kept, body, compression, this.#createVerifier())
    }
  }

  async #recode(recoding: Recoding, nar: AsyncIterable<Uint8Array>): Promise<void> {
    const { verifier } = recoding
    const prefix = verifier.bytes === 0 ? null : new Prefix(verifier.bytes, verifier.prefixHash())
    for await (const piece of nar) {
      const rest = prefix === null ? piece : prefix.skip(piece)
      if (rest.length > 0) await recoding.feed(rest)
    }
    await recoding.finish()
  }

  async #createRecoding(): Promise<Recoding> {
    const { narHash, narSize, compression, zstdLevel } = this.#job
    const encoder = await createEncoder(compression, {
      narSize,
      zstdLevel,
      onOutput: (chunk) => {
        this.#file.append(chunk)
      },
    })
    this.#etag = madeEtag(narHash, compression, zstdLevel)
    return new Recoding({
      verifier: this.#createVerifier(),
      file: this.#file,
      encoder,
      release: (bytes) => {
        this.#release(bytes)
      },
    })
  }

  #createVerifier(): NarVerifier {
    const { storePathHash, narSize } = this.#job
    const narHash = parseHash(this.#job.narHash)
    if (narHash === null) throw new TypeError('an ingest job has a NarHash')
    const ca = this.#job.ca === null ? null : parseContentAddress(this.#job.ca)
    return new NarVerifier({ storePathHash, narHash, narSize, ca })
  }

  #release(bytes: number): void {
    if (this.#job.verifyFirst || bytes === this.#released) return
    this.#released = bytes
    this.#events.released(bytes, this.#etag)
  }
}
