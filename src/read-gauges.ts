/** What the gauges of `/metrics` read of a running Weir. */
import type { LivePolicy } from './admin/live-policy.ts'
import type { IngestPool } from './ingest/ingest-pool.ts'
import type { StoreKeeper } from './keeper/store-keeper.ts'
import type { Storing } from './keeper/storing.ts'
import { wantsAgreement } from './policy/rule.ts'
import type { Catalog } from './ports/catalog.ts'
import type { Clock } from './ports/clock.ts'
import type { NetworkState } from './ports/network-state.ts'
import type { UpstreamHealth } from './ports/upstream-health.ts'
import type { Transfers } from './substituter/fetching/transfers.ts'
import type { Gauges } from './telemetry/gauges.ts'

/** The parts that are read, once all are put together. */
export type ReadParts = {
  readonly policy: LivePolicy
  readonly keeper: Pick<StoreKeeper, 'room' | 'totals'>
  readonly storing: Pick<Storing, 'isOn'>
  readonly catalog: Pick<Catalog, 'leastRecentlyUsed'>
  readonly transfers: Pick<Transfers, 'load'>
  readonly ingest: Pick<IngestPool, 'threads'>
  readonly health: Pick<UpstreamHealth, 'state'>
  readonly network: () => NetworkState
}

/** `parts` is asked for at each reading, not before. */
export function readGauges(version: string, clock: Clock, parts: () => ReadParts): Gauges {
  return {
    version,
    cache() {
      const { keeper } = parts()
      return { ...keeper.room(), nars: keeper.totals().count }
    },
    oldestUseMs: createOldestUse(clock, () => parts().catalog),
    isCacheStoring: () => parts().storing.isOn(),
    transfers: () => parts().transfers.load(),
    ingestThreads: () => parts().ingest.threads(),
    isOffline: () => parts().network() !== 'online',
    isPolicyEnforced: () => parts().policy.current().enforce,
    upstreams: () =>
      parts()
        .policy.settings()
        .upstreams.map(({ name }) => name),
    suspended: () => parts().policy.current().suspended,
    circuitState: (upstream) => parts().health.state(upstream),
    rules: () =>
      parts()
        .policy.current()
        .rules.map((rule) => ({ name: rule.name, wantsAgreement: wantsAgreement(rule) })),
  }
}

/** So long what the catalog said is said again: whoever asks often reads the disk no more often. */
const rememberedMs = 10_000

/** When the NAR was used that eviction would take first; `null` where there is none, or the catalog fails. */
function createOldestUse(
  clock: Clock,
  catalog: () => ReadParts['catalog'],
): () => Promise<number | null> {
  let oldest: Promise<number | null> = Promise.resolve(null)
  let readAtMs = -Infinity
  const read = async (): Promise<number | null> => {
    const [first] = await catalog().leastRecentlyUsed(1, null)
    return first?.usedAtMs ?? null
  }
  return () => {
    if (clock.nowMs() - readAtMs >= rememberedMs) {
      readAtMs = clock.nowMs()
      // That it fails is told by those whom it keeps from their work.
      oldest = read().catch(() => null)
    }
    return oldest
  }
}
