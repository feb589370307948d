import { narFileName } from '../nix/nar-key.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import type { Meter, VerifyFinding } from '../ports/meter.ts'
import type { NarStore } from '../ports/nar-store.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'
import { type CheckDeps, checkNar, type NarFinding } from './check-nar.ts'
import { createPace, type Pace } from './pace.ts'
import { inOrder } from './in-order.ts'
import { recordPages } from './record-pages.ts'
import { type PathSelection, selects } from './select-paths.ts'
import { baseNameOf } from './stored-name.ts'
import { findStrays, type StrayReport } from './strays.ts'

export type VerifyDeps = CheckDeps & {
  readonly store: Pick<NarStore, 'open' | 'quarantine' | 'entries'>
  readonly catalog: Catalog
  readonly keeper: Pick<StoreKeeper, 'drop' | 'inTurn' | 'totals'>
  readonly meter: Pick<Meter, 'verifyFailed'>
  readonly log: Log
}

export type VerifyOptions = {
  readonly selection: PathSelection
  /** Bytes of files a second; `null` as fast as it goes. */
  readonly bytesPerSecond: number | null
  /** How many NARs are read at the same time. */
  readonly parallel: number
}

/** How far a verification has come. */
export type VerifyProgress = {
  readonly kind: 'progress'
  /** NARs that were looked at, also those that were not selected. */
  readonly nars: number
  readonly checked: number
  readonly checkedBytes: number
  readonly wrong: number
  readonly totalNars: number
  readonly totalBytes: number
}

export type WrongNar = {
  readonly kind: 'wrong'
  /** `<hash>-<name>`, or the file's name where its claim does not say. */
  readonly path: string
  readonly file: string
  readonly finding: VerifyFinding
}

/** What a verification tells, one after the other; the last one is what lies in the store without a record, where all was selected. */
export type VerifyEvent = VerifyProgress | WrongNar | ({ readonly kind: 'strays' } & StrayReport)

type Checked = { readonly stored: StoredNar; readonly finding: NarFinding | 'not-selected' }

/**
 * Holds what is stored against its records. What is wrong is put aside and forgotten, so that the next request fetches it again; a record
 * without a file is forgotten.
 */
export async function* verify(
  deps: VerifyDeps,
  options: VerifyOptions,
  signal: AbortSignal,
): AsyncGenerator<VerifyEvent> {
  const { count, bytes } = deps.keeper.totals()
  const progress = { nars: 0, checked: 0, checkedBytes: 0, wrong: 0 }
  const pace = createPace(options.bytesPerSecond)
  const checks = inOrder(checksOf(deps, options, pace, signal), options.parallel)
  for await (const { stored, finding } of checks) {
    progress.nars += 1
    if (finding !== 'not-selected') {
      progress.checked += 1
      progress.checkedBytes += stored.fileBytes
      if (finding !== 'sound') {
        progress.wrong += 1
        yield await setRight(deps, stored, finding)
      }
    }
    yield { kind: 'progress', ...progress, totalNars: count, totalBytes: bytes }
  }
  if (options.selection.length > 0) return
  yield { kind: 'strays', ...(await findStrays(deps, signal)) }
}

async function* checksOf(
  deps: VerifyDeps,
  { selection }: VerifyOptions,
  pace: Pace,
  signal: AbortSignal,
): AsyncGenerator<() => Promise<Checked>> {
  for await (const page of recordPages(deps.catalog, signal)) {
    for (const stored of page) {
      const isSelected = selects(selection, baseNameOf(stored) ?? stored.key.storePathHash)
      yield async () => ({
        stored,
        finding: isSelected ? await checkNar(deps, stored, pace, signal) : 'not-selected',
      })
    }
  }
}

async function setRight(
  deps: VerifyDeps,
  stored: StoredNar,
  finding: WrongNar['finding'],
): Promise<WrongNar> {
  const file = narFileName(stored.key)
  const path = baseNameOf(stored) ?? file
  deps.meter.verifyFailed(finding)
  deps.log.error({ event: 'nar.wrong', nar: file, path, finding })
  // A claim that cannot be read says nothing of the file: that is for people to look at.
  if (finding === 'unreadable-claim') return { kind: 'wrong', path, file, finding }
  await deps.keeper.inTurn(stored.key.storePathHash, async () => {
    if (finding === 'no-file' || !(await isRecordedStill(deps, stored))) return
    await deps.store.quarantine(stored.key, `${path}: ${finding}, found by weir verify`)
  })
  if (await isRecordedStill(deps, stored)) await deps.keeper.drop(stored)
  return { kind: 'wrong', path, file, finding }
}

/** Whether the file is still the one that was recorded so: it may have been fetched again meanwhile. */
async function isRecordedStill({ catalog }: VerifyDeps, stored: StoredNar): Promise<boolean> {
  const records = await catalog.find(stored.key.storePathHash)
  return records.some(
    ({ key, storedAtMs }) =>
      narFileName(key) === narFileName(stored.key) && storedAtMs === stored.storedAtMs,
  )
}
