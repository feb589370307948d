import { UpstreamError } from '../ports/upstream.ts'

/** A source that stays below this rate is too slow: it would hold a transfer's place for ever. */
const minBytesPerSecond = 1024
/** For so long that is borne, in seconds. */
export const slowSeconds = 30

/** What is said of such a source; while others have not been asked yet, it has not failed. */
export function tooSlow({ hasOthers = false } = {}): UpstreamError {
  const code = hasOthers ? 'outpaced' : 'too-slow'
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
  #isOver = false

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
    this.#startedAt = nowMs()
  }

  came(bytes: number): void {
    this.#moveOn()
    const index = this.#second % this.#recent.length
    this.#recent[index] = (this.#recent[index] ?? 0) + bytes
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

  /** Whether it has been too slow for so many seconds, up to `slowSeconds`. */
  isSlowFor(seconds: number): boolean {
    this.#moveOn()
    if (this.#isOver || this.#second < seconds) return false
    let bytes = 0
    for (let ago = 0; ago <= seconds; ago += 1) {
      bytes += this.#recent[(this.#second - ago) % this.#recent.length] ?? 0
    }
    return bytes < seconds * minBytesPerSecond
  }

  #moveOn(): void {
    const until = this.#heldSince ?? this.#nowMs()
    const second = Math.floor((until - this.#startedAt - this.#heldMs) / 1000)
    const from = Math.max(this.#second + 1, second - slowSeconds)
    for (let next = from; next <= second; next += 1) this.#recent[next % this.#recent.length] = 0
    this.#second = second
  }
}
