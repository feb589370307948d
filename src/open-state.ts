import { join } from 'node:path'
import type { Catalog } from './ports/catalog.ts'
import type { Clock } from './ports/clock.ts'
import type { Evidence } from './ports/evidence.ts'
import type { Log } from './ports/log.ts'
import type { NarStore } from './ports/nar-store.ts'
import type { Settings } from './settings/settings.ts'
import { openPins, type Pins } from './state/pins.ts'
import { openRecalls, type Recalls } from './state/recalls.ts'
import { openSuspensions, type Suspensions } from './state/suspensions.ts'
import { openDiskNarStore } from './store/disk/disk-nar-store.ts'
import { openCatalog } from './store/sqlite/open-catalog.ts'
import { openSqliteEvidence } from './store/sqlite/sqlite-evidence.ts'

/** What is on disk: NARs, and what a policy rests on besides the configuration. */
export type OpenState = {
  readonly store: NarStore
  readonly catalog: Catalog
  readonly evidence: Evidence
  readonly recalls: Recalls
  readonly suspensions: Suspensions
  readonly pins: Pins
}

/** Opens the folders of the settings, whose locks the caller has; what must be closed goes to `resources`. */
export async function openState(
  { cache, state, server }: Settings,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  resources: AsyncDisposableStack,
): Promise<OpenState> {
  const inState = (name: string): string => join(state.dir, name)
  const store = await openDiskNarStore(cache.dir, server.storeDir)
  const recalls = await openRecalls(inState('recalls.toml'), server.storeDir)
  const suspensions = await openSuspensions(inState('suspended.json'))
  const pins = await openPins(inState('pins.json'))
  const evidence = openSqliteEvidence(inState('evidence.sqlite'), { clock, log })
  resources.defer(() => evidence.close())
  const catalog = await openCatalog(inState('catalog.sqlite'), { clock, log })
  resources.defer(() => catalog.close())
  return { store, catalog, evidence, recalls, suspensions, pins }
}
