/**
 * The lower layer of a NAR: a sequence of strings, each an unsigned 64-bit little-endian length, the bytes, and zeros up to a
 * multiple of 8. Bytes come in chunks of any size. Short strings are handed over whole, the contents of files as they come.
 */
import { NarError } from './nar-error.ts'

/** What a framing hands its strings to. */
export type StringSink = {
  /** Whether nothing may follow. */
  readonly done: boolean
  /** A string begins; `offset` is that of its first byte. Throws where one so long is not allowed, beyond 2⁵³ − 1 always. */
  readonly begin: (length: number, offset: number) => 'whole' | 'stream'
  /** A string that was to be handed over whole: those bytes of `source`, valid during the call. */
  readonly whole: (source: Uint8Array, start: number, end: number) => void
  /** A part of a streamed string, a view of the chunk that was written. */
  readonly part: (chunk: Uint8Array) => void
  /** The streamed string is complete. */
  readonly endStream: () => void
}

/** The longest string that is handed over whole, in bytes. */
export const maxWholeLength = 4096

const headerLength = 8

/** Splits the bytes of a NAR into its strings. */
export class NarFraming {
  readonly #sink: StringSink
  readonly #scratch = new Uint8Array(maxWholeLength)
  #phase: 'header' | 'whole' | 'stream' | 'padding' = 'header'
  /** The length of the piece, header, padded string or padding, that comes next. */
  #wanted = headerLength
  /** How much of that piece is in `#scratch`. */
  #filled = 0
  #length = 0
  #streamRemaining = 0
  #offset = 0

  constructor(sink: StringSink) {
    this.#sink = sink
  }

  /** Takes the next bytes; throws a NarError, after which the framing is of no use. */
  write(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#sink.done && this.#phase === 'header') {
        throw new NarError('trailing-bytes', this.#offset)
      }
      at += this.#phase === 'stream' ? this.#stream(chunk, at) : this.#collect(chunk, at)
    }
  }

  /** Throws a NarError unless the sink is done and no string is unfinished. */
  end(): void {
    const whole = this.#sink.done && this.#phase === 'header' && this.#filled === 0
    if (!whole) throw new NarError('truncated', this.#offset + this.#filled)
  }

  #stream(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#streamRemaining, chunk.length - at)
    this.#sink.part(chunk.subarray(at, at + taken))
    this.#offset += taken
    this.#streamRemaining -= taken
    if (this.#streamRemaining === 0) this.#endStream()
    return taken
  }

  #collect(chunk: Uint8Array, at: number): number {
    const available = chunk.length - at
    if (this.#filled === 0 && available >= this.#wanted) {
      const taken = this.#wanted
      this.#accept(chunk, at)
      return taken
    }
    const taken = Math.min(this.#wanted - this.#filled, available)
    this.#scratch.set(chunk.subarray(at, at + taken), this.#filled)
    this.#filled += taken
    if (this.#filled === this.#wanted) {
      this.#filled = 0
      this.#accept(this.#scratch, 0)
    }
    return taken
  }

  #accept(source: Uint8Array, start: number): void {
    const end = start + this.#wanted
    this.#offset += this.#wanted
    switch (this.#phase) {
      case 'header':
        this.#begin(readLength(source, start))
        return
      case 'whole':
        this.#expectZeros(source, start + this.#length, end)
        this.#expectHeader()
        this.#sink.whole(source, start, start + this.#length)
        return
      case 'padding':
        this.#expectZeros(source, start, end)
        this.#expectHeader()
        this.#sink.endStream()
        return
      case 'stream':
        throw new TypeError('streamed bytes are not collected')
    }
  }

  #begin(length: number): void {
    this.#length = length
    if (this.#sink.begin(length, this.#offset) === 'stream') {
      this.#phase = 'stream'
      this.#streamRemaining = length
      if (length === 0) this.#endStream()
    } else if (length === 0) {
      this.#expectHeader()
      this.#sink.whole(this.#scratch, 0, 0)
    } else {
      this.#phase = 'whole'
      this.#wanted = length + paddingAfter(length)
    }
  }

  #endStream(): void {
    const padding = paddingAfter(this.#length)
    if (padding === 0) {
      this.#expectHeader()
      this.#sink.endStream()
    } else {
      this.#phase = 'padding'
      this.#wanted = padding
    }
  }

  #expectHeader(): void {
    this.#phase = 'header'
    this.#wanted = headerLength
  }

  #expectZeros(source: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end; i++) {
      if (source[i] !== 0) throw new NarError('bad-padding', this.#offset)
    }
  }
}

function paddingAfter(length: number): number {
  return (8 - (length % 8)) % 8
}

/** A length; beyond 2⁵³ it is rounded, but never to less than that. */
function readLength(source: Uint8Array, start: number): number {
  let length = 0
  for (let i = headerLength - 1; i >= 0; i--) length = length * 256 + (source[start + i] ?? 0)
  return length
}
