/** What a command does for the folders of a Weir that does not run: a part of `offline.ts`. */
import { verifyStored } from './ingest/verify-stored.ts'
import type { StoredNar } from './ports/catalog.ts'
import type { Clock } from './ports/clock.ts'
import type { Log } from './ports/log.ts'
import type { Meter } from './ports/meter.ts'
import type { OpenState } from './open-state.ts'
import type { Settings } from './settings/settings.ts'
import { recordKeyOf } from './state/record-key.ts'
import { readSigningKey, SigningKeyError } from './state/signing-key.ts'
import { recordsInFiles } from './store/disk/record-scan.ts'
import type { ScannedRecords } from './store/disk/scan-records.ts'
import type { StoreKeeper } from './keeper/store-keeper.ts'
import { createBackgroundRebuild } from './upkeep/background-rebuild.ts'
import { createUpkeep, type Upkeep } from './upkeep/upkeep.ts'

export type OfflineUpkeepDeps = Pick<OpenState, 'store' | 'catalog'> & {
  readonly settings: Settings
  readonly keeper: StoreKeeper
  readonly isRecalled: (stored: StoredNar) => boolean
  readonly meter: Meter
  readonly clock: Clock
  readonly log: Log
}

/** The upkeep of folders that are this process's own; a catalog that was lost is rebuilt first. */
export async function offlineUpkeep(deps: OfflineUpkeepDeps): Promise<Upkeep> {
  const { settings } = deps
  const { cache, server, nar, signing } = settings
  const scan = (signal: AbortSignal) => scanWithKey(cache.dir, signing.keyFile, signal)
  const stored = { ...deps, scan, verifyStored, storeDir: server.storeDir }
  await using rebuilding = createBackgroundRebuild(stored)
  // Without the key nothing can be told to be Weir's own; what is due stays due.
  if (await hasKey(signing.keyFile)) {
    rebuilding.startWhereDue()
    await rebuilding.settled()
  }
  return createUpkeep({
    ...stored,
    limitBytes: () => cache.maxBytes,
    isRebuilding: () => false,
    parallel: nar.workers,
  })
}

async function* scanWithKey(
  dir: string,
  keyFile: string,
  signal: AbortSignal,
): AsyncGenerator<ScannedRecords> {
  const key = await readSigningKey(keyFile)
  if (key === null) {
    throw new SigningKeyError(
      `${keyFile} is not there: without it nobody can tell which records are this Weir's`,
    )
  }
  yield* recordsInFiles({ dir, key: recordKeyOf(key) }, signal)
}

async function hasKey(keyFile: string): Promise<boolean> {
  try {
    return (await readSigningKey(keyFile)) !== null
  } catch (error) {
    if (error instanceof SigningKeyError) return false
    throw error
  }
}
