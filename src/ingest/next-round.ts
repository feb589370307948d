import { type Backoff, fullJitterMs } from '../policy/full-jitter.ts'

/** A source that may be asked again, not before so many milliseconds have passed. */
export type Waiting<Source> = { readonly source: Source; readonly afterMs: number }

export type Round<Source> = {
  readonly pauseMs: number
  /** In the order given. */
  readonly sources: readonly Source[]
  /** Who asked for more patience: for a round after it. */
  readonly later: readonly Waiting<Source>[]
}

/** So often the sources are gone through, in all. */
const maxRounds = 3
const backoff: Backoff = { baseMs: 200, capMs: 2000 }

/** Which sources to ask again after so many rounds (1 or more), and how long to wait before; `null` where it is over. */
export function nextRound<Source>(
  waiting: readonly Waiting<Source>[],
  rounds: number,
  random: () => number,
): Round<Source> | null {
  if (waiting.length === 0 || rounds >= maxRounds) return null
  const soonestMs = Math.min(...waiting.map(({ afterMs }) => afterMs))
  const pauseMs = Math.max(soonestMs, fullJitterMs(rounds, backoff, random))
  return {
    pauseMs,
    sources: waiting.flatMap(({ source, afterMs }) => (afterMs <= pauseMs ? [source] : [])),
    later: waiting
      .filter(({ afterMs }) => afterMs > pauseMs)
      .map(({ source, afterMs }) => ({ source, afterMs: afterMs - pauseMs })),
  }
}
