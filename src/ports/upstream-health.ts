/** Whether an upstream is asked: `closed` yes, `open` not before its time, `probing` as soon as a probe succeeds. */
export type CircuitState = 'closed' | 'open' | 'probing'

/** Which upstreams are down, by name. One that it does not know, such as the store itself, is never down. */
export type UpstreamHealth = {
  state(upstream: string): CircuitState
  /** Whether it is not asked just now: it failed several times, or asked for a pause. */
  isDown(upstream: string): boolean
  /** Whether every upstream that can be down is; false where there is none. */
  allDown(): boolean
  /** A NAR could not be had from it, for the reason that the code of an `UpstreamError` says; failures of one NAR count once. */
  failed(upstream: string, code: string, nar: string): void
  /** A NAR came from it. */
  succeeded(upstream: string): void
}
