import type { Policy } from '../policy/policy.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { NetworkState } from '../ports/network-state.ts'
import type { UpstreamHealth } from '../ports/upstream-health.ts'
import type { Activity, Overview, RunningNar } from './activity.ts'
import type { Recorder } from './recorder.ts'
import { createSearches } from './searches.ts'
import { shownUrl } from './shown-url.ts'

export type ActivityDeps = {
  readonly version: string
  readonly startedMs: number
  /** `name:base64` */
  readonly publicKey: string
  readonly clock: Clock
  readonly recorder: Recorder
  readonly catalog: Pick<Catalog, 'find' | 'search'>
  readonly health: Pick<UpstreamHealth, 'state'>
  readonly network: () => NetworkState
  readonly policy: () => Policy
  readonly cache: () => Overview['cache']
  /** The configured ones, in their order. */
  readonly upstreams: () => readonly { readonly name: string; readonly url: string }[]
  /** Why an upstream is suspended; `null` where it is not. */
  readonly suspended: (upstream: string) => string | null
  readonly transfers: () => readonly RunningNar[]
  /** The lines of nix.conf for clients that reach Weir at an address. */
  readonly clientLines: (origin: string) => readonly string[]
}

export function createActivity(deps: ActivityDeps): Activity {
  const { version, startedMs, publicKey, recorder } = deps
  return {
    overview(origin) {
      const { epoch, enforce, rules, blocks } = deps.policy()
      return {
        ...{ version, nowMs: deps.clock.nowMs(), startedMs, publicKey },
        clientLines: deps.clientLines(origin),
        network: deps.network(),
        policy: { epoch, enforce, rules: rules.length, blocks: blocks.length },
        cache: deps.cache(),
        upstreams: deps.upstreams().map(({ name, url }) => ({
          ...{ name, url: shownUrl(url) },
          ...{ circuit: deps.health.state(name), suspended: deps.suspended(name) },
          ...recorder.upstream(name),
        })),
        totals: recorder.totals(),
      }
    },
    traffic: () => recorder.traffic(),
    transfers: () => deps.transfers().toSorted((one, other) => one.startedMs - other.startedMs),
    decisions: (after, limit) => recorder.decisions(after, limit),
    paths: createSearches(deps.catalog),
  }
}
