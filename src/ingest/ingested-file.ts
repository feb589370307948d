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
import { type AskedSource, askedSource } from './asked-source.ts'
import { assertDecodable, decodeNar } from './decode-nar.ts'
import { createEncoder } from './encoders.ts'
import { absentTry, type Ends, type FailedTry, failedTry } from './failed-try.ts'
import { keepFrom, recode } from './go-on.ts'
import { keepCopied, keepVerified } from './keep-body.ts'
import { KeepingFile } from './keeping-file.ts'
import { type NarPromise, NarVerifier } from './nar-verifier.ts'
import type { NarSink } from './nar-sink.ts'
import type { OpenSource } from './open-source.ts'
import { Pace } from './pace.ts'
import { Recoding } from './recoding.ts'
import { keptEtag, madeEtag, uniqueEtag } from './representation.ts'
import { sourceBody } from './source-body.ts'
import type { Renewals } from './renewals.ts'
import { untilComplete } from './until-complete.ts'

/** At what point a source is tried. */
export type Turn = {
  /** Whether others have not been asked yet. */
  readonly hasOthers: boolean
  /** Whether it was tried before, and refused. */
  readonly isWaitedFor: boolean
}

/** What a NAR comes by: how sources are opened, who joins, and who is told. */
export type FileDeps = {
  readonly open: OpenSource
  readonly renewals: Renewals
  readonly events: IngestEvents
}

/** One NAR on its way into its file, through one source after another. */
export class IngestedFile implements Disposable {
  readonly #job: IngestJob
  readonly #file: NarSink
  readonly #open: OpenSource
  readonly #renewals: Renewals
  readonly #events: IngestEvents
  /** The file is made of the NAR, or kept as it comes: one of the two once a source has begun it. */
  #recoding: Recoding | null = null
  #keeping: KeepingFile | null = null
  /** Whether what is written is held against the promised NAR. */
  #isVerified = true
  #etag = ''
  #released = 0
  /** What the NAR that comes is held against. */
  #verifier: NarVerifier | null = null

  constructor(job: IngestJob, file: NarSink, { open, renewals, events }: FileDeps) {
    this.#job = job
    this.#file = file
    this.#open = open
    this.#renewals = renewals
    this.#events = events
  }

  /** Whether a part was handed out, which stands. */
  get isBegun(): boolean {
    return this.#released > 0
  }

  /** Whether a source can add to what was handed out, which stands. */
  mayAsk(source: NarSource): boolean {
    if (this.#released === 0 || this.#recoding !== null) return true
    return this.#keeping?.isSameFile(source) === true
  }

  /** `null` where the source gave the promised NAR. */
  async tryOne(
    source: NarSource,
    owner: AbortSignal,
    { hasOthers, isWaitedFor }: Turn,
  ): Promise<FailedTry | null> {
    const ends: Ends = { leaving: new AbortController(), renewing: new AbortController() }
    const signal = AbortSignal.any([owner, ends.leaving.signal, ends.renewing.signal])
    let asked: AskedSource | null = null
    try {
      assertDecodable(source.compression)
      // What cannot be made is not asked for.
      if (!this.#isKept(source)) this.#recoding ??= await this.#createRecoding()
      asked = askedSource(source, this.#events)
      const opened = await this.#open(source, signal)
      if (opened === null) {
        asked.ended('absent')
        return absentTry(source.upstream)
      }
      asked.began()
      const pace = new Pace()
      const isUnseen = (): boolean => !this.isBegun
      this.#renewals.watch({ pace, renewing: ends.renewing, hasOthers, isUnseen })
      const whole = this.#untilComplete(source, opened, ends.leaving)
      const { narSize } = this.#job
      const body = sourceBody(source, whole, { narSize, pace, events: this.#events })
      await this.#take(source, body, ends.leaving.signal)
      asked.ended('found')
      return null
    } catch (thrown) {
      owner.throwIfAborted()
      // Decoders and encoders throw it on as their own.
      if (this.#file.failure !== null) throw this.#file.failure
      const failed = failedTry(source.upstream, thrown, ends, this)
      // Who is waited for was told of when its host refused first.
      if (!(isWaitedFor && failed.isRefused)) asked?.ended(failed.isRenewed ? 'found' : 'error')
      return failed
    }
  }

  /** Whether a source may follow, the same one or another; prepares for it. */
  canGoOn({ kind, code }: SourceFailure): boolean {
    if (this.#released > 0) {
      // Wrong bytes that were handed out cannot be called back; a cut connection can be gone on from.
      if (this.#recoding === null) return kind !== 'corrupt' && this.#keeping?.isOver === false
      return kind !== 'corrupt' || code === 'undecodable'
    }
    this[Symbol.dispose]()
    this.#recoding = null
    this.#keeping = null
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
    this.#keeping?.[Symbol.dispose]()
  }

  /** What a source gives, as far as anything of it is wanted. */
  #untilComplete(
    source: NarSource,
    opened: UpstreamBody,
    leaving: AbortController,
  ): AsyncGenerator<Uint8Array> {
    // Whoever goes on with a NAR of which all came has to show that it is the same.
    const wasFull = this.#recoding !== null && this.#verifier?.isFull === true
    return untilComplete(
      opened,
      () => !wasFull && this.#isComplete(source),
      () => {
        leaving.abort()
      },
    )
  }

  #take(source: NarSource, body: AsyncIterable<Uint8Array>, left: AbortSignal): Promise<void> {
    if (this.#recoding !== null) {
      this.#isVerified = true
      return recode(this.#recoding, decodeNar(source.compression, body, this.#job.narSize), left)
    }
    this.#keeping ??= this.#startKeeping(source)
    return keepFrom(this.#keeping, this.#file, body)
  }

  /** Whether nothing more of a source's file is needed: of one that is kept, and whose hash is known, the end is. */
  #isComplete({ fileHash }: NarSource): boolean {
    const isNamed = fileHash?.startsWith('sha256:') === true
    if (this.#recoding === null && isNamed) return this.#file.hash() === fileHash
    return this.#verifier?.isFull === true
  }

  #isKept({ compression, fileHash }: NarSource): boolean {
    if (this.#released > 0) return this.#recoding === null
    if (compression !== this.#job.compression) return false
    // A zstd file whose hash nobody says could not be named while it is handed out: it is made anew.
    return fileHash !== null || compression !== 'zstd'
  }

  #startKeeping(source: NarSource): KeepingFile {
    const { compression, fileHash } = source
    // What goes past its one reader can wait for no name: this one says that no rest of it can be had.
    const unnamed = this.#job.path === null ? uniqueEtag() : ''
    this.#etag = fileHash === null ? unnamed : keptEtag(fileHash)
    const kept = {
      file: this.#file,
      release: (bytes: number) => {
        if (this.#etag !== '') this.#release(bytes)
      },
    }
    const copied = this.#job.mayCopy && fileHash?.startsWith('sha256:') === true ? fileHash : null
    this.#isVerified = copied === null
    const verifier = this.#createVerifier()
    return new KeepingFile(source, (body) =>
      copied === null
        ? keepVerified(kept, body, compression, verifier)
        : keepCopied(kept, body, copied),
    )
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
    this.#verifier = new NarVerifier(promiseOf(this.#job))
    return this.#verifier
  }

  #release(bytes: number): void {
    if (this.#job.verifyFirst || bytes === this.#released) return
    this.#released = bytes
    this.#events.released(bytes, this.#etag)
  }
}

function promiseOf({ storePathHash, narSize, ...job }: IngestJob): NarPromise {
  const narHash = parseHash(job.narHash)
  if (narHash === null) throw new TypeError('an ingest job has a NarHash')
  const ca = job.ca === null ? null : parseContentAddress(job.ca)
  return { storePathHash, narHash, narSize, ca }
}
