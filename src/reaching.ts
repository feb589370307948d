/** Puts the parts together that reach the upstreams: from the main thread for what is small, from worker threads for NARs. */
import { isDeepStrictEqual } from 'node:util'
import { createIngestPool, type IngestPool } from './ingest/ingest-pool.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Meter } from './ports/meter.ts'
import type { NetworkState } from './ports/network-state.ts'
import type { NarStore } from './ports/nar-store.ts'
import type { Settings } from './settings/settings.ts'
import { createImportUpstream } from './store/import-upstream.ts'
import { type Absences, createAbsences } from './substituter/finding/absences.ts'
import type { Reach } from './substituter/finding/reach.ts'
import { createNetworkWatch } from './upstream/network-watch.ts'
import { hasTlsFiles } from './upstream/http/tls-options.ts'
import { askedUpstreams, type UpstreamOptions } from './upstream/upstream-options.ts'
import { createUpstreamSet, type UpstreamSet } from './upstream/upstream-set.ts'

export type ReachingDeps = {
  readonly initial: Settings
  /** Those of now; not asked before all is put together. */
  readonly settings: () => Settings
  readonly version: string
  readonly store: NarStore
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
}

export type Reaching = {
  readonly upstreams: UpstreamSet
  readonly ingest: IngestPool
  readonly network: () => NetworkState
  readonly reach: Reach
  readonly absences: Absences
  /** Connects to the upstreams of another configuration, which takes the place of `before`, the one that was in force. */
  readonly reconfigure: (next: Settings, before: Settings) => void
}

/** What must be closed goes to `resources`. */
export function assembleReaching(
  { initial, settings, version, store, clock, log, meter }: ReachingDeps,
  resources: AsyncDisposableStack,
): Reaching {
  const optionsOf = (of: Settings): readonly UpstreamOptions[] => askedUpstreams(of, version)
  const options = optionsOf(initial)
  const local = [createImportUpstream(store)]
  const changed = (): void => {
    network()
  }
  const upstreams = createUpstreamSet(options, local, { clock, log, changed, meter })
  resources.defer(() => upstreams.close())
  const died = (error: unknown): void => {
    log.error({ event: 'worker.died', err: error })
  }
  const ingest = createIngestPool(initial.nar.workers, { upstreams: options }, { died })
  resources.defer(() => ingest.close())
  const isOffline = (): boolean => settings().network.mode === 'offline'
  const network = createNetworkWatch({ isOffline, allDown: () => upstreams.health.allDown(), log })
  const reach: Reach = {
    isOffline,
    isDown: (upstream) => upstreams.health.isDown(upstream),
    isRemote: (upstream) => !local.some(({ name }) => name === upstream),
  }
  const ttlMs = (name: string): number =>
    settings().upstreams.find((upstream) => upstream.name === name)?.negativeTtlMs ?? 0
  const absences = createAbsences({ clock, ttlMs })
  return {
    ...{ upstreams, ingest, network, reach, absences },
    reconfigure(next, before) {
      const [options, earlier] = [optionsOf(next), optionsOf(before)]
      // A file that is named as before may have another certificate in it.
      if (isDeepStrictEqual(options, earlier) && !options.some(hasTlsFiles)) return
      upstreams.replace(options)
      ingest.configure({ upstreams: options })
      for (const name of changedNames(earlier, options)) absences.forgetUpstream(name)
    },
  }
}

/** The upstreams of before that are gone, or that are another cache now. */
function changedNames(
  before: readonly UpstreamOptions[],
  now: readonly UpstreamOptions[],
): readonly string[] {
  const isSame = (one: UpstreamOptions): boolean =>
    now.some((other) => isDeepStrictEqual(one, other))
  return before.filter((one) => !isSame(one)).map(({ name }) => name)
}
