/** A NAR on its way from an upstream, for those who look on. Times are milliseconds since 1970. */
export type NarOnItsWay = {
  /** The store path's base name; its hash where nobody promises it any more. */
  readonly path: string
  readonly hash: string
  /** Who gives it, or before that who promises it; empty where nobody does any more. */
  readonly upstream: string
  readonly startedMs: number
  /** Bytes of the upstream's file that came, and that it should have; `null` where nobody says. */
  readonly fetchedBytes: number
  readonly expectedBytes: number | null
  /** Over the last seconds. */
  readonly bytesPerSecond: number
  /** How many read along or wait, and their addresses. */
  readonly readers: number
  readonly clients: readonly string[]
}
