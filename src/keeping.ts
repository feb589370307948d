/** Puts the parts together that keep NARs: the keeper, what makes a lost catalog again, and what tends them. */
import type { KeyObject } from 'node:crypto'
import { isRecalled } from './admin/recall.ts'
import { cacheLimits } from './cache-limits.ts'
import { createStoreKeeper, type StoreKeeper } from './keeper/store-keeper.ts'
import { createStoring, type Storing } from './keeper/storing.ts'
import type { NarFileKey } from './nix/nar-key.ts'
import type { OpenState } from './open-state.ts'
import type { Policy } from './policy/policy.ts'
import type { StoredNar } from './ports/catalog.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Meter } from './ports/meter.ts'
import type { Settings } from './settings/settings.ts'
import { recordsInFiles } from './store/disk/record-scan.ts'
import type { VerifyStored } from './substituter/fetching/adopt-nar.ts'
import { tendRegularly } from './tend-regularly.ts'
import { type BackgroundRebuild, createBackgroundRebuild } from './upkeep/background-rebuild.ts'
import { sealedKeeper } from './upkeep/sealed-keeper.ts'
import { createUpkeep, type Upkeep } from './upkeep/upkeep.ts'

export type KeepingDeps = Pick<OpenState, 'store' | 'catalog' | 'pins'> & {
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  /** Those of now; the folders and the store do not change. */
  readonly settings: () => Settings
  readonly policy: () => Policy
  readonly verifyStored: VerifyStored
  /** What records are sealed with. */
  readonly recordKey: KeyObject
  readonly stopping: AbortSignal
  /** Called with each NAR that came or went. */
  readonly changed: (key: NarFileKey) => void
}

export type Keeping = {
  readonly keeper: StoreKeeper
  readonly storing: Storing
  readonly rebuilding: BackgroundRebuild
  readonly upkeep: Upkeep
}

/** What must be closed goes to `resources`. */
export async function assembleKeeping(
  deps: KeepingDeps,
  resources: AsyncDisposableStack,
): Promise<Keeping> {
  const { store, catalog, log, settings, policy, recordKey, stopping } = deps
  const { cache, server } = settings()
  const keeper: StoreKeeper = sealedKeeper(
    await createStoreKeeper({ ...deps, limits: () => cacheLimits(settings()) }),
    { store, catalog, recordKey, log },
  )
  const storing = createStoring({ ...deps, keeper })
  const stored = {
    ...{ ...deps, keeper, storeDir: server.storeDir },
    isRecalled: (nar: StoredNar) => isRecalled(policy(), policy().blocks, nar),
    scan: (signal: AbortSignal) => recordsInFiles({ dir: cache.dir, key: recordKey }, signal),
  }
  const rebuilding = createBackgroundRebuild(stored)
  resources.use(rebuilding)
  const isRebuilding = (): boolean => rebuilding.isRunning()
  tendRegularly({ keeper, storing, log, stopping, isRebuilding }, resources)
  const upkeep = createUpkeep({
    ...{ ...stored, isRebuilding },
    limitBytes: () => settings().cache.maxBytes,
    // Requests go first.
    parallel: 1,
  })
  return { keeper, storing, rebuilding, upkeep }
}
