import { earned, fullBudget, type RetryBudget as Left } from '../policy/retry.ts'

/** What may be asked of an upstream again, so that its outage is not multiplied by those who come again. */
export type RetryBudget = {
  /** It is asked for the first time: ten such questions allow one repetition. */
  earn(upstream: string): void
  /** Whether it may be asked again, which is taken from what it has. */
  spend(upstream: string): boolean
}

/** A budget for each upstream, by name; whoever was not heard of for long, or ever, has a full one. */
export function createRetryBudget(): RetryBudget {
  const left = new Map<string, Left>()
  return {
    earn(upstream) {
      const now = earned(left.get(upstream) ?? fullBudget)
      if (now < fullBudget) left.set(upstream, now)
      else left.delete(upstream)
    },
    spend(upstream) {
      const before = left.get(upstream) ?? fullBudget
      if (before < 1) return false
      left.set(upstream, before - 1)
      return true
    },
  }
}

/** A budget for those who are asked once. */
export const noRetries: RetryBudget = { earn: () => undefined, spend: () => false }
