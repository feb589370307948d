/** A look into what is stored where no Weir runs: a composition root like offline.ts, of only those parts that it needs. */
import { noTracer } from './ports/tracer.ts'
import { createLivePolicy } from './admin/live-policy.ts'
import { createStoredFiles, type StoredFiles } from './admin/stored-files.ts'
import { createIngestPool } from './ingest/ingest-pool.ts'
import { takeFolders, unreached } from './offline.ts'
import { openState } from './open-state.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Settings } from './settings/settings.ts'
import { createImportUpstream } from './store/import-upstream.ts'
import { createPathFinder } from './substituter/finding/find-path.ts'
import { createListings } from './substituter/listings.ts'
import { createStoreKeeper } from './keeper/store-keeper.ts'
import { unmeasured } from './telemetry/unmeasured.ts'
import { askedUpstreams } from './upstream/upstream-options.ts'
import { createUpstreamSet } from './upstream/upstream-set.ts'
import { cacheLimits } from './cache-limits.ts'

const clock: Clock = { nowMs: () => Date.now() }

export type OfflineFilesOptions = {
  readonly settings: Settings
  readonly version: string
  readonly log: Log
}

/** Takes the folders for itself, and throws a `FolderLockedError` where a Weir has them. */
export async function openOfflineFiles({
  settings,
  version,
  log,
}: OfflineFilesOptions): Promise<StoredFiles & AsyncDisposable> {
  await using resources = new AsyncDisposableStack()
  await takeFolders(settings, resources)
  const opened = await openState(settings, { clock, log }, resources)
  const { store, catalog, evidence, recalls, suspensions, pins } = opened
  const ending = new AbortController()
  resources.defer(() => {
    ending.abort()
  })
  const policy = createLivePolicy(settings, { recalls, suspensions, changed: () => undefined })
  const base = {
    ...{ clock, log, evidence, meter: unmeasured, tracer: noTracer },
    policy: policy.current,
  }
  const keeper = await createStoreKeeper({
    ...base,
    ...{ store, catalog },
    ...{ pins, stopping: ending.signal },
    limits: () => cacheLimits(settings),
    changed: () => undefined,
  })
  const options = askedUpstreams(settings, version)
  const upstreams = createUpstreamSet(options, [createImportUpstream(store)], { clock, log })
  resources.defer(() => upstreams.close())
  const finder = createPathFinder({
    ...base,
    ...{ catalog, stopping: ending.signal },
    ...{ upstreams: upstreams.current, health: upstreams.health, hedging: upstreams.hedging },
    ...unreached(settings),
    isRefuted: () => false,
    // Who lies is punished by a Weir that serves.
    lied: () => undefined,
    reconsidered: () => undefined,
  })
  const pool = createIngestPool(1, { upstreams: [] })
  resources.defer(() => pool.close())
  const listings = createListings({ ...base, finder, store, keeper, reader: pool.reader })
  const owned = resources.move()
  return { ...createStoredFiles(listings), [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
