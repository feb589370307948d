import { RecentBytes } from '../policy/recent-bytes.ts'
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
  /** The second that runs counts besides. */
  readonly #recent = new RecentBytes(slowSeconds + 1)
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
    this.#bytes += bytes
    this.#recent.add(bytes, this.ms)
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
    if (this.#isOver || this.#heldSince !== null || this.ms < seconds * 1000) return false
    return this.#recent.of(seconds + 1, this.ms) < seconds * minBytesPerSecond
  }
}
