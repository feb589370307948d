import { RecentBytes } from '../../policy/recent-bytes.ts'
import { createJoins, type Demand, type Joins } from '../../ports/nar-ingest.ts'

/** What the rate is over. */
const rateSeconds = 5

/** How far a NAR has come, how fast, and who waits for it or reads along. */
export class TransferProgress {
  #upstream: string | null = null
  #fetchedBytes = 0
  #firstMs = 0
  readonly #recent = new RecentBytes(rateSeconds)
  readonly #readers = new Map<string, number>()
  readonly #joins: Joins = createJoins()

  /** Who gives it; `null` before anything came. */
  get upstream(): string | null {
    return this.#upstream
  }

  /** Bytes of that upstream's file. */
  get fetchedBytes(): number {
    return this.#fetchedBytes
  }

  /** How many read along or wait; one client may do so several times. */
  get readers(): number {
    return this.#readers.values().reduce((sum, count) => sum + count, 0)
  }

  /** Their addresses. */
  get clients(): readonly string[] {
    return [...this.#readers.keys()]
  }

  /** Bytes came; another upstream's file is another file. */
  fetched(upstream: string, bytes: number, nowMs: number): void {
    if (this.#upstream === null) this.#firstMs = nowMs
    if (upstream !== this.#upstream) this.#fetchedBytes = 0
    this.#upstream = upstream
    this.#fetchedBytes += bytes
    this.#recent.add(bytes, nowMs)
  }

  /** Over the last seconds. */
  bytesPerSecond(nowMs: number): number {
    if (this.#upstream === null) return 0
    const coveredMs = Math.min((rateSeconds - 1) * 1000 + (nowMs % 1000), nowMs - this.#firstMs)
    return (this.#recent.of(rateSeconds, nowMs) * 1000) / Math.max(1000, coveredMs)
  }

  /** Somebody waits for it, until the returned function is called. */
  joined(client: string): () => void {
    this.#readers.set(client, (this.#readers.get(client) ?? 0) + 1)
    this.#joins.joined()
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const others = (this.#readers.get(client) ?? 1) - 1
      if (others > 0) this.#readers.set(client, others)
      else this.#readers.delete(client)
    }
  }

  /** Those who wait, for whoever brings it. */
  get demand(): Demand {
    return this.#joins
  }
}
