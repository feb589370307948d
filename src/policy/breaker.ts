/**
 * The circuit breaker of one upstream: after a few failures in a row it is not asked for a while, so that a dead upstream costs nobody
 * anything; then a probe finds out. A value, and functions from one to the next.
 */
export type Breaker =
  /**
   * `failures` are the last ones, none of which a success followed. It is not asked before `notBeforeMs`, where it asked for a pause. `trips`
   * counts how often it opened without a success between.
   */
  | {
      readonly kind: 'closed'
      readonly failures: readonly Failure[]
      readonly notBeforeMs: number
      readonly trips: number
    }
  /** Not asked, and probed at `untilMs`. */
  | { readonly kind: 'open'; readonly untilMs: number; readonly trips: number }
  /** A probe finds out. */
  | { readonly kind: 'probing'; readonly trips: number }

/** A failure that is the host's (`object` is `null`), or the object's that was asked for: the host answered, that it cannot. */
export type Failure = { readonly atMs: number; readonly object: string | null }

/** What came of a request: `abandoned` says nothing of the upstream. `retryAfterMs` is the pause that it asked for. */
export type RequestResult =
  | { readonly kind: 'succeeded' | 'abandoned' }
  | {
      readonly kind: 'failed'
      readonly object: string | null
      readonly retryAfterMs: number | null
    }

/** So many failures within this time, and no success between, open it; those of one object count once. */
const maxFailures = 3
const windowMs = 30_000
/** How long it stays open: doubled each time that it opens anew without a success. */
const firstOpenMs = 1000
const longestOpenMs = 30_000
/** The longest pause that an upstream gets for the asking. */
const longestPauseMs = 30_000

export const closedBreaker: Breaker = { kind: 'closed', failures: [], notBeforeMs: 0, trips: 0 }

/** How long from now it is not to be asked because it said so; 0 where it did not. */
export function pauseMs(breaker: Breaker, nowMs: number): number {
  if (breaker.kind !== 'closed') return 0
  const leftMs = breaker.notBeforeMs - nowMs
  // Where more is left than it can have been given, the clock was put back.
  return leftMs > longestPauseMs ? 0 : Math.max(0, leftMs)
}

/** Whether a request may be made now. */
export function mayAsk(breaker: Breaker, nowMs: number): boolean {
  return breaker.kind === 'closed' && pauseMs(breaker, nowMs) === 0
}

/** The breaker after a request, whether it was let through or made before it opened. */
export function afterRequest(breaker: Breaker, result: RequestResult, nowMs: number): Breaker {
  switch (result.kind) {
    case 'abandoned':
      return breaker
    case 'succeeded':
      // A pause holds, whoever was still answered.
      return pauseMs(breaker, nowMs) > 0 ? breaker : closedBreaker
    case 'failed':
      return afterFailure(breaker, result, nowMs)
  }
}

function afterFailure(
  breaker: Breaker,
  { object, retryAfterMs }: Extract<RequestResult, { kind: 'failed' }>,
  nowMs: number,
): Breaker {
  if (retryAfterMs !== null && retryAfterMs > 0) {
    // Who says when to come again is up, and is believed.
    const notBeforeMs = nowMs + Math.min(retryAfterMs, longestPauseMs)
    if (breaker.kind !== 'closed') {
      return { kind: 'closed', failures: [], notBeforeMs, trips: breaker.trips }
    }
    return { ...breaker, notBeforeMs: Math.max(breaker.notBeforeMs, notBeforeMs) }
  }
  // A request from before it opened says nothing new.
  if (breaker.kind !== 'closed') return breaker
  const failures = [
    ...breaker.failures.filter(
      (each) => nowMs - each.atMs < windowMs && (object === null || each.object !== object),
    ),
    { atMs: nowMs, object },
  ]
  return failures.length < maxFailures ? { ...breaker, failures } : opened(breaker.trips + 1, nowMs)
}

/** The breaker while a probe runs; one that is not open needs none. */
export function probed(breaker: Breaker): Breaker {
  return breaker.kind === 'open' ? { kind: 'probing', trips: breaker.trips } : breaker
}

/** The breaker after a probe; only a request that succeeds makes its next opening short again. */
export function afterProbe(
  breaker: Breaker,
  result: 'succeeded' | 'failed',
  nowMs: number,
): Breaker {
  // Meanwhile a request found out.
  if (breaker.kind !== 'probing') return breaker
  return result === 'succeeded'
    ? { ...closedBreaker, trips: breaker.trips }
    : opened(breaker.trips + 1, nowMs)
}

function opened(trips: number, nowMs: number): Breaker {
  const openMs = Math.min(longestOpenMs, firstOpenMs * 2 ** (trips - 1))
  return { kind: 'open', untilMs: nowMs + openMs, trips }
}
