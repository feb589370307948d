/** When a question to an upstream is asked again: decided from how it failed, the time that is left and a budget. */

import { type Backoff, fullJitterMs } from './full-jitter.ts'

/** How a question failed: an `UpstreamError`, without its message. */
export type QuestionFailure = {
  readonly code: string
  readonly status: number | null
  readonly retryAfterMs: number | null
}

/**
 * What one upstream may still be retried, in retries: each question earns a tenth of one, and ten can be saved up, so that an outage is not
 * multiplied by those who ask.
 */
export type RetryBudget = number

export const fullBudget: RetryBudget = 10
const earnedByQuestion = 0.1

const maxRetries = 2
const backoff: Backoff = { baseMs: 100, capMs: 2000 }
/** Of the time that is left, for a try that is not the last: one that gets no answer at all must leave some. */
const share = 0.6

/** The budget once one more question is asked. */
export function earned(budget: RetryBudget): RetryBudget {
  return Math.min(fullBudget, budget + earnedByQuestion)
}

/** Whether the same question may be answered a moment later. What was refused, or is wrong, is so again. */
export function isTransient({ code, status }: QuestionFailure): boolean {
  switch (code) {
    case 'connect':
    case 'timeout':
    case 'reset':
      return true
    case 'status':
      return status !== null && isTransientStatus(status)
    default:
      return false
  }
}

/** Whether a status says that the same question may be answered a moment later. */
export function isTransientStatus(status: number): boolean {
  if (status === 408 || status === 425 || status === 429) return true
  // 501 and 505: it will not learn it.
  return status >= 500 && status !== 501 && status !== 505
}

/** Whether a question that was retried so often may be once more. */
export function mayRetry(retries: number, budget: RetryBudget): boolean {
  return retries < maxRetries && budget >= 1
}

/** How long one try may take, of what is left. */
export function tryMs(leftMs: number, retries: number, budget: RetryBudget): number {
  return mayRetry(retries, budget) ? leftMs * share : leftMs
}

/** What follows a failure: `isCounted` is false for a question that was held back before it was asked. */
export type Retry = { readonly pauseMs: number; readonly isCounted: boolean }

/** Whether and when to ask again, within what is left of the question's time; `null`: give up now. `random` is from 0 up to 1. */
export function retryAfter(
  failure: QuestionFailure,
  state: {
    readonly retries: number
    readonly budget: RetryBudget
    readonly leftMs: number
    readonly random: number
  },
): Retry | null {
  const { retries, budget, leftMs, random } = state
  const { code, retryAfterMs } = failure
  const isHeldBack = code === 'breaker-open' && retryAfterMs !== null
  if (!isHeldBack && !(isTransient(failure) && mayRetry(retries, budget))) return null
  const jitterMs = fullJitterMs(retries + 1, backoff, () => random)
  const pauseMs = (retryAfterMs ?? 0) + jitterMs
  return pauseMs < leftMs ? { pauseMs, isCounted: !isHeldBack } : null
}
