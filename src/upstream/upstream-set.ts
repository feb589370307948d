import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Upstream } from '../ports/upstream.ts'
import { createBreakingUpstream } from './breaking-upstream.ts'
import { createLimitedUpstream } from './limited-upstream.ts'
import { openUpstream } from './open-upstream.ts'
import type { UpstreamOptions } from './upstream-options.ts'

/** The upstreams of now, each with its circuit breaker. */
export type UpstreamSet = {
  /** In order of preference; the same array until they are replaced. */
  readonly current: () => readonly Upstream[]
  /** Takes others. Requests that run over the old ones finish. */
  replace(options: readonly UpstreamOptions[]): void
  close(): Promise<void>
}

/** Connects upstreams; `local` ones, which no configuration names, come last and stay. */
export function createUpstreamSet(
  options: readonly UpstreamOptions[],
  local: readonly Upstream[],
  deps: { readonly clock: Clock; readonly log: Log },
): UpstreamSet {
  const breaking = (root: Upstream): Upstream => createBreakingUpstream(root, deps)
  const hedged = (upstream: string) => () => {
    deps.log.debug({ event: 'upstream.hedged', upstream })
  }
  const connect = (next: readonly UpstreamOptions[]): readonly Upstream[] =>
    next.map((each) =>
      createLimitedUpstream(openUpstream(each, breaking, hedged(each.name)), {
        maxNarinfos: each.maxConnections,
        narinfoMs: each.narinfoMs,
        queueMs: each.narinfoMs,
      }),
    )
  const closing = new Set<Promise<unknown>>()
  let remote = connect(options)
  let all = [...remote, ...local]
  return {
    current: () => all,
    replace(next) {
      for (const upstream of remote) {
        const closed = upstream.close().finally(() => closing.delete(closed))
        closing.add(closed)
      }
      remote = connect(next)
      all = [...remote, ...local]
    },
    async close() {
      await Promise.allSettled([...closing, ...remote.map((upstream) => upstream.close())])
    },
  }
}
