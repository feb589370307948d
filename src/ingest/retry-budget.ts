/** What may be asked of an upstream again, so that its outage is not multiplied by those who come again. */
export type RetryBudget = {
  /** It is asked for the first time: ten such questions allow one repetition. */
  earn(upstream: string): void
  /** Whether it may be asked again, which is taken from what it has. */
  spend(upstream: string): boolean
}

const maxTokens = 10
const earned = 0.1

/** A budget for each upstream, by name; whoever was not heard of for long, or ever, has a full one. */
export function createRetryBudget(): RetryBudget {
  const spent = new Map<string, number>()
  return {
    earn(upstream) {
      const left = (spent.get(upstream) ?? 0) - earned
      if (left > 0) spent.set(upstream, left)
      else spent.delete(upstream)
    },
    spend(upstream) {
      const before = spent.get(upstream) ?? 0
      if (before + 1 > maxTokens) return false
      spent.set(upstream, before + 1)
      return true
    },
  }
}

/** A budget for those who are asked once. */
export const noRetries: RetryBudget = { earn: () => undefined, spend: () => false }
