import { timingSafeEqual, createHash } from 'node:crypto'
import { createZstdDecompress } from 'node:zlib'
import { parseContentAddress } from '../nix/content-address.ts'
import { parseHash } from '../nix/hash.ts'
import type {
  IngestEvents,
  IngestJob,
  IngestOutcome,
  NarSource,
  SourceFailure,
} from '../ports/nar-ingest.ts'
import { type UpstreamBody, UpstreamError } from '../ports/upstream.ts'
import { boundedBody } from './bounded-body.ts'
import { assertDecodable, decodeNar, wholeFrames } from './decode-nar.ts'
import { BadNarError } from './bad-nar-error.ts'
import { NarVerifier } from './nar-verifier.ts'
import { PartialFile } from './partial-file.ts'
import { PushStream, rethrowUndecodable } from './push-stream.ts'
import { Recoding } from './recoding.ts'
import { passedEtag, recodedEtag } from './representation.ts'

/** Opens a source's file: `null` where the upstream certainly does not have it, `UpstreamError` where it could not tell. */
export type OpenSource = (source: NarSource, signal: AbortSignal) => Promise<UpstreamBody | null>

/** The pieces that a kept file is decoded in, only to be hashed: small ones are collected sooner. */
const decoderPieceBytes = 64 * 1024

/** A source that stays below this rate for so long would hold a transfer's place for ever. */
const minBytesPerSecond = 1024
const slowSeconds = 30

/** What may follow the frame that completes a zstd NAR: an empty frame, a skippable one. */
const maxTrailingBytes = 64 * 1024

/** Runs the whole chain of one NAR: fetch, decompress, verify, encode as zstd, write. */
export async function ingest(
  job: IngestJob,
  open: OpenSource,
  events: IngestEvents,
  signal: AbortSignal,
): Promise<IngestOutcome> {
  using file = new PartialFile(job.path)
  using ingestion = new Ingestion(job, file, open, events)
  for (const source of job.sources) {
    signal.throwIfAborted()
    const failure = await ingestion.tryOne(source, signal)
    if (failure === null) return ingestion.verified(source.upstream)
    events.sourceFailed(failure)
    if (!ingestion.canGoOn(failure)) break
  }
  return { kind: 'failed' }
}

class Ingestion implements Disposable {
  readonly #job: IngestJob
  readonly #file: PartialFile
  readonly #open: OpenSource
  readonly #events: IngestEvents
  #recoding: Recoding | null = null
  #etag = ''
  #released = 0

  constructor(job: IngestJob, file: PartialFile, open: OpenSource, events: IngestEvents) {
    this.#job = job
    this.#file = file
    this.#open = open
    this.#events = events
  }

  /** `null` where the source gave the promised NAR. */
  async tryOne(source: NarSource, signal: AbortSignal): Promise<SourceFailure | null> {
    try {
      assertDecodable(source.compression)
      const body = await this.#open(source, signal)
      if (body === null) {
        return {
          upstream: source.upstream,
          kind: 'absent',
          code: 'absent',
          message: 'has no such NAR',
        }
      }
      await this.#take(source, this.#counted(source, body))
      return null
    } catch (error) {
      signal.throwIfAborted()
      return sourceFailure(source.upstream, error)
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

  verified(upstream: string): IngestOutcome {
    const fileHash = this.#file.hash()
    const etag = this.#recoding === null ? passedEtag(fileHash) : this.#etag
    return { kind: 'verified', upstream, fileBytes: this.#file.bytes, fileHash, etag }
  }

  [Symbol.dispose](): void {
    this.#recoding?.[Symbol.dispose]()
  }

  #take(source: NarSource, body: UpstreamBody): Promise<void> {
    if (source.compression === 'zstd' && source.fileHash !== null && this.#released === 0) {
      return this.#pass(source.fileHash, body)
    }
    return this.#recode(decodeNar(source.compression, body, this.#job.narSize))
  }

  /** Keeps a zstd file as it comes, and decodes it beside to verify it. */
  async #pass(fileHash: string, body: UpstreamBody): Promise<void> {
    this.#etag = passedEtag(fileHash)
    const verifier = this.#createVerifier()
    using decoder = new PushStream(
      createZstdDecompress({ chunkSize: decoderPieceBytes }),
      (piece) => {
        verifier.update(piece)
      },
    )
    let completeAt: number | null = null
    for await (const frame of wholeFrames(body)) {
      await decoder.write(frame).catch(rethrowUndecodable)
      this.#file.append(frame)
      if (completeAt === null && verifier.isFull) {
        verifier.check()
        completeAt = this.#file.bytes
      }
      if (completeAt !== null && this.#file.bytes - completeAt > maxTrailingBytes) {
        throw new BadNarError('undecodable', 'the zstd file goes on after the NAR')
      }
      this.#release(this.#file.bytes)
    }
    await decoder.end().catch(rethrowUndecodable)
    if (completeAt === null) verifier.check()
  }

  async #recode(nar: AsyncIterable<Uint8Array>): Promise<void> {
    this.#recoding ??= this.#createRecoding()
    const { verifier } = this.#recoding
    const prefix = verifier.bytes === 0 ? null : new Prefix(verifier.bytes, verifier.prefixHash())
    for await (const piece of nar) {
      const rest = prefix === null ? piece : prefix.skip(piece)
      if (rest.length > 0) await this.#recoding.feed(rest)
    }
    await this.#recoding.finish()
  }

  #createRecoding(): Recoding {
    const { narHash, narSize, zstdLevel } = this.#job
    this.#etag = recodedEtag(narHash, zstdLevel)
    return new Recoding({
      verifier: this.#createVerifier(),
      file: this.#file,
      level: zstdLevel,
      narSize,
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

  async *#counted(source: NarSource, body: UpstreamBody): AsyncGenerator<Uint8Array> {
    const startedAt = performance.now()
    let fetched = 0
    try {
      for await (const chunk of boundedBody(body, this.#job.narSize)) {
        fetched += chunk.length
        const seconds = (performance.now() - startedAt) / 1000
        if (seconds > slowSeconds && fetched / seconds < minBytesPerSecond) {
          throw new UpstreamError('timeout', `slower than ${minBytesPerSecond} bytes a second`)
        }
        yield chunk
      }
    } finally {
      this.#events.fetched(source.upstream, fetched)
    }
  }
}

/** The part of a NAR that an earlier source already gave: it must be the same before another one may go on. */
class Prefix {
  readonly #expected: Uint8Array
  readonly #digest = createHash('sha256')
  #left: number

  constructor(bytes: number, expected: Uint8Array) {
    this.#left = bytes
    this.#expected = expected
  }

  /** What of the piece lies behind the prefix. */
  skip(piece: Uint8Array): Uint8Array {
    if (this.#left === 0) return piece
    const skipped = piece.subarray(0, this.#left)
    this.#digest.update(skipped)
    this.#left -= skipped.length
    if (this.#left === 0 && !timingSafeEqual(this.#digest.digest(), this.#expected)) {
      throw new BadNarError(
        'prefix-mismatch',
        'the NAR differs from what another upstream began to give',
      )
    }
    return piece.subarray(skipped.length)
  }
}

/** What is the source's fault; anything else is Weir's own, and is thrown on. */
function sourceFailure(upstream: string, error: unknown): SourceFailure {
  if (error instanceof BadNarError) {
    // Want of memory says nothing of the file.
    const kind = error.code === 'out-of-memory' ? 'unreachable' : 'corrupt'
    return { upstream, kind, code: error.code, message: error.message }
  }
  if (error instanceof UpstreamError) {
    return { upstream, kind: 'unreachable', code: error.code, message: error.message }
  }
  throw error
}
