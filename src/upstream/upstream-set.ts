import type { Clock } from '../ports/clock.ts'
import type { Hedging } from '../ports/hedging.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { Upstream } from '../ports/upstream.ts'
import type { UpstreamHealth } from '../ports/upstream-health.ts'
import { createBreakingUpstream } from './steady/breaking-upstream.ts'
import { type Circuit, createCircuit, type Schedule, systemSchedule } from './steady/circuit.ts'
import { createLimitedUpstream } from './steady/limited-upstream.ts'
import { openUpstream } from './open-upstream.ts'
import { createRetryingUpstream } from './steady/retrying-upstream.ts'
import { createGroupHedging } from './steady/hedging.ts'
import { realTiming, type Timing } from './timing.ts'
import type { UpstreamOptions } from './upstream-options.ts'
import { createUpstreamHealth } from './steady/upstream-health.ts'

/** The upstreams of now, each with its circuit breaker. */
export type UpstreamSet = {
  /** In order of preference; the same array until they are replaced. */
  readonly current: () => readonly Upstream[]
  /** Which of them are down. */
  readonly health: UpstreamHealth
  /** When the next one of an `equivalent` group is asked. */
  readonly hedging: Hedging
  /** Takes others. Requests that run over the old ones finish. */
  replace(options: readonly UpstreamOptions[]): void
  close(): Promise<void>
}

export type UpstreamSetDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly schedule?: Schedule
  readonly timing?: Timing
  /** Called each time that one of them may have gone down, or come back. */
  readonly changed?: () => void
  /** What is told of questions beyond those of others: that one is asked again, and probes. */
  readonly meter?: Pick<Meter, 'upstreamAnswered' | 'upstreamRetried'>
}

type Connected = { readonly upstream: Upstream; readonly circuits: readonly Circuit[] }

/** Connects upstreams; `local` ones, which no configuration names, come last and stay. */
export function createUpstreamSet(
  options: readonly UpstreamOptions[],
  local: readonly Upstream[],
  { schedule = systemSchedule, timing = realTiming, meter, ...deps }: UpstreamSetDeps,
): UpstreamSet {
  const { clock, log } = deps
  const hedged = (upstream: string): void => {
    log.debug({ event: 'upstream.hedged', upstream })
  }
  const connect = (each: UpstreamOptions): Connected => {
    const circuits: Circuit[] = []
    const breaking = (root: Upstream): Upstream => {
      const circuit = createCircuit(root, {
        ...{ ...deps, schedule, probeMs: each.narinfoMs },
        probed: (probe) =>
          meter?.upstreamAnswered({ upstream: each.name, object: 'probe', ...probe }),
      })
      circuits.push(circuit)
      return createBreakingUpstream(root, { circuit, clock, isAlone: () => health.allDown() })
    }
    const { narinfoMs } = each
    const roots = openUpstream(each, breaking, () => {
      hedged(each.name)
    })
    const retried = (): void => {
      meter?.upstreamRetried(each.name)
    }
    const asked = createRetryingUpstream(roots, { clock, timing, narinfoMs, retried })
    const upstream = createLimitedUpstream(asked, {
      maxNarinfos: each.maxConnections,
      narinfoMs: each.narinfoMs,
      queueMs: each.narinfoMs,
    })
    return { upstream, circuits }
  }
  const closing = new Set<Promise<unknown>>()
  const health = createUpstreamHealth(() => circuitsOf)
  let remote: readonly Upstream[] = []
  let circuitsOf: ReadonlyMap<string, readonly Circuit[]> = new Map()
  let all: readonly Upstream[] = []
  const take = (next: readonly UpstreamOptions[]): void => {
    const connected = next.map(connect)
    remote = connected.map(({ upstream }) => upstream)
    circuitsOf = new Map(connected.map(({ upstream, circuits }) => [upstream.name, circuits]))
    all = [...remote, ...local]
  }
  take(options)
  return {
    current: () => all,
    health,
    hedging: createGroupHedging({ timing, hedged }),
    replace(next) {
      for (const upstream of remote) {
        const closed = upstream.close().finally(() => closing.delete(closed))
        closing.add(closed)
      }
      take(next)
    },
    async close() {
      await Promise.allSettled([...closing, ...remote.map((upstream) => upstream.close())])
    },
  }
}
