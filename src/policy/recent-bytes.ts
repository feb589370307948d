/** How many bytes there were in each of the last seconds, by whatever clock the times are of: they only grow. */
export class RecentBytes {
  readonly #bytes: Float64Array
  #second = 0

  /** Keeps so many seconds, the one that runs among them. */
  constructor(seconds: number) {
    this.#bytes = new Float64Array(seconds)
  }

  add(bytes: number, nowMs: number): void {
    this.#moveTo(nowMs)
    const index = this.#second % this.#bytes.length
    this.#bytes[index] = (this.#bytes[index] ?? 0) + bytes
  }

  /** Of the last so many seconds, the one that runs among them; at most those that are kept. */
  of(seconds: number, nowMs: number): number {
    this.#moveTo(nowMs)
    const last = Math.max(-1, this.#second - Math.min(seconds, this.#bytes.length))
    let sum = 0
    for (let second = this.#second; second > last; second -= 1) {
      sum += this.#bytes[second % this.#bytes.length] ?? 0
    }
    return sum
  }

  #moveTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1000)
    const first = Math.max(this.#second + 1, second - this.#bytes.length + 1)
    for (let next = first; next <= second; next += 1) this.#bytes[next % this.#bytes.length] = 0
    this.#second = Math.max(this.#second, second)
  }
}
