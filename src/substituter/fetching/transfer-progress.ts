import type { Demand } from '../../ports/nar-ingest.ts'

/** So many spans of this length are what the rate is over. */
const spanMs = 1000
const spans = 5

/** How far a NAR has come, how fast, and who waits for it or reads along. */
export class TransferProgress implements Demand {
  #upstream: string | null = null
  #fetchedBytes = 0
  #firstMs = 0
  #span = 0
  readonly #recent = new Float64Array(spans)
  readonly #readers = new Map<string, number>()
  readonly #joins = new Set<() => void>()

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
    this.#moveTo(nowMs)
    this.#recent[this.#span % spans] = (this.#recent[this.#span % spans] ?? 0) + bytes
  }

  /** Over the last seconds. */
  bytesPerSecond(nowMs: number): number {
    if (this.#upstream === null) return 0
    this.#moveTo(nowMs)
    const coveredMs = Math.min((spans - 1) * spanMs + (nowMs % spanMs), nowMs - this.#firstMs)
    const bytes = this.#recent.reduce((sum, count) => sum + count, 0)
    return (bytes * 1000) / Math.max(spanMs, coveredMs)
  }

  /** Somebody waits for it, until the returned function is called. */
  joined(client: string): () => void {
    this.#readers.set(client, (this.#readers.get(client) ?? 0) + 1)
    for (const join of this.#joins) join()
    let isHere = true
    return () => {
      if (!isHere) return
      isHere = false
      const others = (this.#readers.get(client) ?? 1) - 1
      if (others > 0) this.#readers.set(client, others)
      else this.#readers.delete(client)
    }
  }

  onJoined(act: () => void): () => void {
    this.#joins.add(act)
    return () => this.#joins.delete(act)
  }

  #moveTo(nowMs: number): void {
    const span = Math.floor(nowMs / spanMs)
    if (span <= this.#span) return
    const stale = Math.min(spans, span - this.#span)
    for (let next = span - stale + 1; next <= span; next += 1) this.#recent[next % spans] = 0
    this.#span = span
  }
}
