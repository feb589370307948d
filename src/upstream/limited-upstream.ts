import pLimit from 'p-limit'
import { type Upstream, UpstreamError } from '../ports/upstream.ts'

export type Limits = {
  /** Narinfos asked for at the same time. */
  readonly maxNarinfos: number
  /** How long one may take, from when it is asked for. */
  readonly narinfoMs: number
  /** How long one may wait for its turn: beyond that it is Weir that is overloaded, not the upstream that is down. */
  readonly queueMs: number
}

/** The same upstream, asked for so many narinfos at a time; the time that one waits for its turn does not count as the upstream's. */
export function createLimitedUpstream(upstream: Upstream, limits: Limits): Upstream {
  const limit = pLimit(limits.maxNarinfos)
  return {
    ...upstream,
    async narinfo(hash, signal) {
      const waited = AbortSignal.timeout(limits.queueMs)
      return limit(() => {
        signal.throwIfAborted()
        if (waited.aborted) {
          throw new UpstreamError('overloaded', 'too many questions wait for this upstream')
        }
        const deadline = AbortSignal.timeout(limits.narinfoMs)
        return upstream.narinfo(hash, AbortSignal.any([signal, deadline]))
      })
    },
  }
}
