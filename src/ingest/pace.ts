import { UpstreamError } from '../ports/upstream.ts'

/** A source that stays below this rate is too slow: it would hold a transfer's place for ever. */
const minBytesPerSecond = 1024
/** For so long that is borne, in seconds. */
export const slowSeconds = 30
/** What comes again after a silence begins with little: it is borne for so much longer. */
const graceMs = 5000

/** What is said of such a source. One that is left for others which have not been asked yet has not failed. */
export function tooSlow({ isOutpaced = false } = {}): UpstreamError {
  const code = isOutpaced ? 'outpaced' : 'too-slow'
  return new UpstreamError(code, `slower than ${minBytesPerSecond} bytes a second`)
}

/** How fast a source's file comes, from when it began to. Time in which nobody takes what has come does not count: that is not the source's. */
export class Pace {
  readonly #nowMs: () => number
  readonly #startedAt: number
  #heldMs = 0
  #heldSince: number | null = null
  /** Bytes of each of the last seconds, the one that runs besides. */
  readonly #recent = new Float64Array(slowSeconds + 1)
  #second = 0
  #bytes = 0
  #slowSinceMs: number | null = null
  #isOver = false

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
    this.#startedAt = nowMs()
  }

  /** How many have come. */
  get bytes(): number {
    return this.#bytes
  }

  /** How much of the time that counts has passed, in milliseconds. */
  get ms(): number {
    return (this.#heldSince ?? this.#nowMs()) - this.#startedAt - this.#heldMs
  }

  /** Whether so little came for so long that nobody would wait for the rest. */
  get isTooSlow(): boolean {
    return this.#slowSinceMs !== null && this.ms - this.#slowSinceMs >= graceMs
  }

  came(bytes: number): void {
    this.#moveOn()
    this.#bytes += bytes
    const index = this.#second % this.#recent.length
    this.#recent[index] = (this.#recent[index] ?? 0) + bytes
    this.#slowSinceMs = this.isSlowFor(slowSeconds) ? (this.#slowSinceMs ?? this.ms) : null
  }

  /** What came is handed on, until `taken`. */
  handed(): void {
    this.#heldSince = this.#nowMs()
  }

  taken(): void {
    if (this.#heldSince !== null) this.#heldMs += this.#nowMs() - this.#heldSince
    this.#heldSince = null
  }

  /** Nothing more is to come. */
  ended(): void {
    this.#isOver = true
  }

  /** Whether it has been too slow for so many seconds, up to `slowSeconds`; not while what came is not taken. */
  isSlowFor(seconds: number): boolean {
    if (this.#isOver || this.#heldSince !== null) return false
    this.#moveOn()
    if (this.#second < seconds) return false
    let bytes = 0
    for (let ago = 0; ago <= seconds; ago += 1) {
      bytes += this.#recent[(this.#second - ago) % this.#recent.length] ?? 0
    }
    return bytes < seconds * minBytesPerSecond
  }

  #moveOn(): void {
    const second = Math.floor(this.ms / 1000)
    const from = Math.max(this.#second + 1, second - slowSeconds)
    for (let next = from; next <= second; next += 1) this.#recent[next % this.#recent.length] = 0
    this.#second = second
  }
}
