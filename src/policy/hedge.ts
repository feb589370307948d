/**
 * When a second source of the same is asked before the first has answered: where that one takes longer than it nearly always does. Values,
 * and functions from one to the next.
 */

/** The last latencies of one source, in milliseconds, the latest last. */
export type Latencies = readonly number[]

/** How many are remembered, and how many are needed to say what is slow. */
const windowSize = 100
const minSamples = 20

export const noLatencies: Latencies = []

export function withLatency(latencies: Latencies, ms: number): Latencies {
  return [...latencies, ms].slice(-windowSize)
}

/** How long a source takes in 95 of 100 cases, in milliseconds; `null` where too little is known. */
export function slowAfterMs(latencies: Latencies): number | null {
  if (latencies.length < minSamples) return null
  const sorted = latencies.toSorted((one, other) => one - other)
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? null
}

/** What may be asked besides: at most one question in twenty, so that a slow source is not made slower for all. */
export type HedgeBudget = { readonly tokens: number }

const earned = 0.05
const maxTokens = 10

export const emptyHedgeBudget: HedgeBudget = { tokens: 0 }

/** The budget after a question that had to be asked. */
export function afterQuestion({ tokens }: HedgeBudget): HedgeBudget {
  return { tokens: Math.min(maxTokens, tokens + earned) }
}

/** The budget after a further question; `null` where there may be none. */
export function afterHedge({ tokens }: HedgeBudget): HedgeBudget | null {
  // Twenty times 0.05 are not quite 1.
  return tokens > 1 - 1e-6 ? { tokens: Math.max(0, tokens - 1) } : null
}
