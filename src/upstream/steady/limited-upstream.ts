import { type Upstream, UpstreamError } from '../../ports/upstream.ts'
import { createFairQueue } from '../../queue/fair-queue.ts'

export type Limits = {
  /** Narinfos asked for at the same time. */
  readonly maxNarinfos: number
  /** How long one may take, from when it is asked for. */
  readonly narinfoMs: number
  /** How long one may wait for its turn: beyond that it is Weir that is overloaded, not the upstream that is down. */
  readonly queueMs: number
}

/**
 * The same upstream, asked for so many narinfos at a time, in turn for each client; the time that one waits for its turn does not count as
 * the upstream's.
 */
export function createLimitedUpstream(upstream: Upstream, limits: Limits): Upstream {
  const queue = createFairQueue({ places: limits.maxNarinfos })
  return {
    ...upstream,
    async narinfo(hash, signal, asking) {
      const question = { isBegun: false }
      try {
        return await queue.run(
          { client: asking?.client ?? '', group: null },
          () => {
            question.isBegun = true
            signal.throwIfAborted()
            const deadline = AbortSignal.timeout(limits.narinfoMs)
            return upstream.narinfo(hash, AbortSignal.any([signal, deadline]), asking)
          },
          () => AbortSignal.any([signal, AbortSignal.timeout(limits.queueMs)]),
        )
      } catch (error) {
        if (question.isBegun || signal.aborted) throw error
        throw new UpstreamError('overloaded', 'too many questions wait for this upstream')
      }
    },
  }
}
