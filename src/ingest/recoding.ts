import type { NarVerifier } from './nar-verifier.ts'
import type { NarSink } from './nar-sink.ts'
import { type Encoder, encoderPieceBytes } from './encoders.ts'

/**
 * A NAR on its way into a file that Weir makes: cut into exact pieces, compressed and written. One piece is compressed in the thread
 * pool, where the encoder uses that, while the next one is filled.
 */
export class Recoding implements Disposable {
  readonly verifier: NarVerifier
  readonly #file: NarSink
  readonly #encoder: Encoder
  readonly #release: (bytes: number) => void
  readonly #buffers = [Buffer.alloc(encoderPieceBytes), Buffer.alloc(encoderPieceBytes)] as const
  #current: 0 | 1 = 0
  #filled = 0
  #pending: Promise<void> = Promise.resolve()

  /** `release` is told how much of the file may be handed out: never the last piece before the check. */
  constructor(options: {
    readonly verifier: NarVerifier
    readonly file: NarSink
    /** It writes to the file; disposed of with this. */
    readonly encoder: Encoder
    readonly release: (bytes: number) => void
  }) {
    this.verifier = options.verifier
    this.#file = options.file
    this.#release = options.release
    this.#encoder = options.encoder
  }

  /** Takes the NAR's next bytes. */
  async feed(bytes: Uint8Array): Promise<void> {
    this.verifier.update(bytes)
    for (let at = 0; at < bytes.length;) {
      if (this.#filled === encoderPieceBytes) await this.#encodeFullPiece()
      const taken = bytes.subarray(at, at + encoderPieceBytes - this.#filled)
      this.#buffers[this.#current].set(taken, this.#filled)
      this.#filled += taken.length
      at += taken.length
    }
  }

  /** Ends the NAR: checks it, and only then writes what completes it. */
  async finish(): Promise<void> {
    await this.#pending
    this.verifier.check()
    await this.#encoder.write(this.#buffers[this.#current].subarray(0, this.#filled))
    await this.#encoder.end()
  }

  [Symbol.dispose](): void {
    this.#encoder[Symbol.dispose]()
  }

  async #encodeFullPiece(): Promise<void> {
    await this.#pending
    this.#release(this.#file.bytes)
    await this.#file.ready()
    this.#pending = this.#encoder.write(this.#buffers[this.#current])
    this.#pending.catch(() => undefined) // thrown where it is awaited
    this.#current = this.#current === 0 ? 1 : 0
    this.#filled = 0
  }
}
