/** What the cache takes on disk, kept up to date as files come and go. All in bytes. */
export class CacheSize {
  #count: number
  #recorded: number
  #pinned = 0
  #orphaned = 0
  #reserved = 0

  constructor(recorded: { readonly count: number; readonly bytes: number }) {
    this.#count = recorded.count
    this.#recorded = recorded.bytes
  }

  /** Takes what is recorded from a catalog that is another one now. */
  recount(recorded: { readonly count: number; readonly bytes: number }): void {
    this.#count = recorded.count
    this.#recorded = recorded.bytes
  }

  /** NARs with a record. */
  get count(): number {
    return this.#count
  }

  /** What they take. */
  get recorded(): number {
    return this.#recorded
  }

  /** What those of them take that are pinned. */
  get pinned(): number {
    return this.#pinned
  }

  /** What NARs without a record take. */
  get orphaned(): number {
    return this.#orphaned
  }

  /** What is being written takes, or will. */
  get reserved(): number {
    return this.#reserved
  }

  /** All of it: what the limit is compared to. */
  get used(): number {
    return this.#recorded + this.#orphaned + this.#reserved
  }

  /** A record came; `replaced` is what the one took that it replaced. */
  came(bytes: number, replaced: number | null): void {
    this.#count += replaced === null ? 1 : 0
    this.#recorded += bytes - (replaced ?? 0)
  }

  /** A record went. */
  went(bytes: number): void {
    this.#count -= 1
    this.#recorded -= bytes
  }

  setPinned(bytes: number): void {
    this.#pinned = bytes
  }

  setOrphaned(bytes: number): void {
    this.#orphaned = bytes
  }

  /** More is written, or (negative) less. */
  reserve(bytes: number): void {
    this.#reserved += bytes
  }
}
