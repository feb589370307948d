import { earned, fullBudget, retryAfter, tryMs } from '../../policy/retry.ts'
import type { Clock } from '../../ports/clock.ts'
import { type Upstream, UpstreamError } from '../../ports/upstream.ts'
import type { Timing } from '../timing.ts'

export type RetryingDeps = {
  readonly clock: Clock
  readonly timing: Timing
  /** How long a question may take, its retries included. */
  readonly narinfoMs: number
  /** Told each time that it is asked again. */
  readonly retried?: () => void
}

/**
 * The same upstream, which is asked again where it failed for a moment: at most twice, within the question's time, after small random pauses
 * or the one that it asked for, and as far as its budget goes. NARs are asked for once.
 */
export function createRetryingUpstream(
  upstream: Upstream,
  { clock, timing, narinfoMs, retried = () => undefined }: RetryingDeps,
): Upstream {
  let budget = fullBudget

  /** The time of a single try is bounded where its answer is read within it. */
  const retrying = async <Answer>(
    signal: AbortSignal,
    ask: (signal: AbortSignal) => Promise<Answer>,
    bound: 'answer' | 'none' = 'answer',
  ): Promise<Answer> => {
    budget = earned(budget)
    const endMs = clock.nowMs() + narinfoMs
    for (let retries = 0; ;) {
      const leftMs = Math.max(0, endMs - clock.nowMs())
      const deadline = () => AbortSignal.timeout(Math.ceil(tryMs(leftMs, retries, budget)))
      try {
        return await ask(bound === 'none' ? signal : AbortSignal.any([signal, deadline()]))
      } catch (error) {
        if (!(error instanceof UpstreamError) || signal.aborted) throw error
        const leftNowMs = endMs - clock.nowMs()
        const state = { retries, budget, leftMs: leftNowMs, random: timing.random() }
        const retry = retryAfter(error, state)
        if (retry === null || !(await pause(timing, retry.pauseMs, signal))) throw error
        if (!retry.isCounted) continue
        retries += 1
        budget -= 1
        retried()
      }
    }
  }

  return {
    ...upstream,
    cacheInfo: (signal) => retrying(signal, (inTime) => upstream.cacheInfo(inTime)),
    narinfo: (hash, signal, asking) =>
      retrying(signal, (inTime) => upstream.narinfo(hash, inTime, asking)),
    realisation: (output, signal) =>
      retrying(signal, (inTime) => upstream.realisation(output, inTime)),
    // Only its opening is retried; reading it takes as long as its reader does.
    buildLog: (derivation, signal) =>
      retrying(signal, (owner) => upstream.buildLog(derivation, owner), 'none'),
  }
}

/** False where the signal aborted it. */
async function pause({ pause }: Timing, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await pause(ms, signal)
    return true
  } catch (error) {
    if (signal.aborted) return false
    throw error
  }
}
