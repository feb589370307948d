import {
  afterHedge,
  afterQuestion,
  emptyHedgeBudget,
  type HedgeBudget,
  type Latencies,
  noLatencies,
  slowAfterMs,
  withLatency,
} from '../../policy/hedge.ts'
import type { Hedging } from '../../ports/hedging.ts'
import type { Timing } from '../timing.ts'

export type HedgeDeps = {
  readonly timing: Timing
  /** Told when a second one is asked because the first is slow. */
  readonly hedged: (upstream: string) => void
}

/** What may be asked besides, of what is asked. */
export type Hedge = {
  /** Something is asked. */
  asked(): void
  /** Resolves after so many milliseconds: whether there is a question to spare; `null` is never. Rejects when the signal aborts. */
  mayAsk(afterMs: number | null, signal: AbortSignal): Promise<boolean>
}

export function createHedge({ pause }: Pick<Timing, 'pause'>): Hedge {
  let budget: HedgeBudget = emptyHedgeBudget
  return {
    asked() {
      budget = afterQuestion(budget)
    },
    async mayAsk(afterMs, signal) {
      if (afterMs === null) return false
      await pause(afterMs, signal)
      const left = afterHedge(budget)
      if (left === null) return false
      budget = left
      return true
    },
  }
}

/** For the upstreams of `equivalent` groups: one budget for all of them. */
export function createGroupHedging({ timing, hedged }: HedgeDeps): Hedging {
  const hedge = createHedge(timing)
  const latencies = new Map<string, Latencies>()
  const of = (upstream: string): Latencies => latencies.get(upstream) ?? noLatencies
  return {
    asked() {
      hedge.asked()
    },
    took(upstream, ms) {
      latencies.set(upstream, withLatency(of(upstream), ms))
    },
    async isSlow(upstream, signal) {
      const isSlow = await hedge.mayAsk(slowAfterMs(of(upstream)), signal)
      if (isSlow) hedged(upstream)
      return isSlow
    },
  }
}
