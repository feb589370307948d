import { LRUCache } from 'lru-cache'
import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Clock } from '../../ports/clock.ts'
import type { NarSource, SourceFailure } from '../../ports/nar-ingest.ts'
import type { UpstreamHealth } from '../../ports/upstream-health.ts'
import { expiryBy } from '../expiry.ts'

/** Which upstreams NARs are rather fetched from. */
export type SourceHealth = {
  /** The same sources: those last whose upstream is down, before them those whose NARs were waited for in vain lately. */
  order(sources: readonly NarSource[]): readonly NarSource[]
  /** Whether an upstream is one of those that come last. */
  isAvoided(upstream: string): boolean
  /** A source did not give its NAR. */
  failed(key: NarFileKey, failure: SourceFailure): void
  /** A NAR came from an upstream. */
  succeeded(upstream: string): void
}

/** So long an upstream whose narinfos come, and whose NARs do not, is tried after the others. */
const avoidedMs = 5 * 60_000
const maxAvoided = 1000
/** What costs a client time. What breaks off, or is refused, does not: others go on at once. */
const slow: ReadonlySet<string> = new Set(['connect', 'timeout', 'too-slow', 'outpaced'])

export function createSourceHealth(health: UpstreamHealth, clock: Clock): SourceHealth {
  const avoided = new LRUCache<string, true>({
    max: maxAvoided,
    ttl: avoidedMs,
    ...expiryBy(clock),
  })
  const rank = (upstream: string): number =>
    health.isDown(upstream) ? 2 : Number(avoided.has(upstream))
  return {
    order: (sources) => sources.toSorted((one, other) => rank(one.upstream) - rank(other.upstream)),
    isAvoided: (upstream) => rank(upstream) > 0,
    failed(key, { upstream, kind, code }) {
      if (kind !== 'unreachable') return
      if (slow.has(code)) avoided.set(upstream, true)
      // Others have been asked before it was certain.
      if (code !== 'outpaced') health.failed(upstream, code, narFileName(key))
    },
    succeeded(upstream) {
      avoided.delete(upstream)
      health.succeeded(upstream)
    },
  }
}
