import { createHash } from 'node:crypto'
import { formatHash } from '../nix/hash.ts'
import type { IngestEvents } from '../ports/nar-ingest.ts'
import type { NarSink } from './nar-sink.ts'

/** So much is on its way to a reader before the next piece is made. */
export const streamWindowBytes = 1024 * 1024

/** Hands what is written to a reader, piece by piece, and keeps nothing: where there is no room for a file. */
export class StreamSink implements NarSink {
  readonly failure = null
  readonly #events: Pick<IngestEvents, 'piece' | 'restarted'>
  readonly #windowBytes: number
  readonly #signal: AbortSignal
  #digest = createHash('sha256')
  #bytes = 0
  #untaken = 0
  #taken = Promise.withResolvers<undefined>()

  /** More than `windowBytes` are never waited with: what nothing is released of before its end needs an endless window. */
  constructor(options: {
    readonly events: Pick<IngestEvents, 'piece' | 'restarted'>
    readonly windowBytes: number
    readonly signal: AbortSignal
  }) {
    this.#events = options.events
    this.#windowBytes = options.windowBytes
    this.#signal = options.signal
  }

  get bytes(): number {
    return this.#bytes
  }

  append(chunk: Uint8Array): void {
    this.#bytes += chunk.length
    this.#untaken += chunk.length
    this.#digest.update(chunk)
    // A view would take all that it is a view of along, and its owner may write there again.
    void this.#events.piece(new Uint8Array(chunk)).then(() => {
      this.#untaken -= chunk.length
      this.#wake()
    })
  }

  async ready(): Promise<void> {
    const wake = (): void => {
      this.#wake()
    }
    this.#signal.addEventListener('abort', wake)
    try {
      while (this.#untaken >= this.#windowBytes) {
        this.#signal.throwIfAborted()
        await this.#taken.promise
      }
    } finally {
      this.#signal.removeEventListener('abort', wake)
    }
  }

  restart(): void {
    this.#bytes = 0
    this.#digest = createHash('sha256')
    this.#events.restarted()
  }

  hash(): string {
    return formatHash({ algorithm: 'sha256', bytes: this.#digest.copy().digest() })
  }

  [Symbol.dispose](): void {
    this.#wake()
  }

  #wake(): void {
    this.#taken.resolve(undefined)
    this.#taken = Promise.withResolvers()
  }
}
