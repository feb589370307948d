/**
 * The circuit breaker of one upstream: after a few failures in a row it is not asked for a while, so that a dead upstream costs nobody
 * anything; then one request is let through to find out. A value, and functions from one to the next.
 */
export type Breaker =
  /** `failures` are the times of the last failures, none of which a success followed. */
  | { readonly kind: 'closed'; readonly failures: readonly number[] }
  /** Not asked before `untilMs`. `trips` counts how often it opened without a success between. */
  | { readonly kind: 'open'; readonly untilMs: number; readonly trips: number }
  /** One request finds out. */
  | { readonly kind: 'probing'; readonly trips: number }

/** What came of a request: `abandoned` says nothing of the upstream. */
export type RequestResult = 'succeeded' | 'failed' | 'abandoned'

/** So many failures within this time, and no success between, open it. */
const maxFailures = 3
const windowMs = 30_000
/** How long it stays open: doubled each time that the probe fails. */
const firstOpenMs = 1000
const longestOpenMs = 30_000

export const closedBreaker: Breaker = { kind: 'closed', failures: [] }

/** Whether a request may be made now, and the breaker as it is then. */
export function admit(
  breaker: Breaker,
  nowMs: number,
): { readonly breaker: Breaker; readonly isAdmitted: boolean } {
  switch (breaker.kind) {
    case 'closed':
      return { breaker, isAdmitted: true }
    case 'probing':
      return { breaker, isAdmitted: false }
    case 'open':
      return breaker.untilMs > nowMs
        ? { breaker, isAdmitted: false }
        : { breaker: { kind: 'probing', trips: breaker.trips }, isAdmitted: true }
  }
}

/** The breaker after a request that was admitted. */
export function after(breaker: Breaker, result: RequestResult, nowMs: number): Breaker {
  if (result === 'succeeded') return closedBreaker
  switch (breaker.kind) {
    case 'closed': {
      if (result === 'abandoned') return breaker
      const failures = [...breaker.failures.filter((at) => nowMs - at < windowMs), nowMs]
      return failures.length < maxFailures ? { kind: 'closed', failures } : opened(1, nowMs)
    }
    case 'probing':
      return result === 'abandoned'
        ? { kind: 'open', untilMs: nowMs, trips: breaker.trips }
        : opened(breaker.trips + 1, nowMs)
    // A request from before it opened says nothing new.
    case 'open':
      return breaker
  }
}

function opened(trips: number, nowMs: number): Breaker {
  const openMs = Math.min(longestOpenMs, firstOpenMs * 2 ** (trips - 1))
  return { kind: 'open', untilMs: nowMs + openMs, trips }
}
