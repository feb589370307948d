import type { Catalog, StoredNar } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { NarStore } from '../ports/nar-store.ts'
import type { ScannedRecords } from '../store/disk/scan-records.ts'
import type { StoreKeeper } from '../keeper/store-keeper.ts'
import { recordPages } from './record-pages.ts'

export type RebuildDeps = {
  readonly catalog: Catalog
  readonly store: Pick<NarStore, 'open'>
  readonly keeper: Pick<StoreKeeper, 'restore' | 'drop'>
  /** What was sealed in the store's files, in batches that are written down at once. */
  readonly scan: (signal: AbortSignal) => AsyncIterable<ScannedRecords>
  /** Whether a NAR was recalled: whoever recalled it found no record of it to remove. */
  readonly isRecalled: (stored: StoredNar) => boolean
  readonly clock: Clock
  readonly log: Log
}

/** How far a rebuild has come; at its end, what it did. */
export type RebuildReport = {
  /** NARs that had no record and have one now. */
  readonly restored: number
  /** NARs that had one. */
  readonly present: number
  /** Narinfos without a record that this Weir sealed: taken up when somebody asks for them. */
  readonly unsealed: number
  /** Narinfos whose NAR is not there, or has another size. */
  readonly wrongFiles: number
  /** Records that were forgotten, because their NAR is not there, or has another size. */
  readonly forgotten: number
  readonly elapsedMs: number
}

type Counts = { -readonly [Name in keyof RebuildReport]: RebuildReport[Name] }

/**
 * Records what lies in the store and has no record, from the files themselves; reports after each batch. No signature is checked and no
 * file is read: the claims are judged when a path is answered, as always, and whole files are held against them by `verify`.
 */
export async function* restoreRecords(
  { catalog, keeper, scan, isRecalled, clock, log }: RebuildDeps,
  signal: AbortSignal,
): AsyncGenerator<RebuildReport, RebuildReport> {
  const startMs = clock.nowMs()
  const report: Counts = {
    ...{ restored: 0, present: 0, unsealed: 0, wrongFiles: 0, forgotten: 0, elapsedMs: 0 },
  }
  for await (const { records, unsealed, wrongFiles } of scan(signal)) {
    const restored = await keeper.restore(records)
    for (const stored of records.filter(isRecalled)) await keeper.drop(stored)
    report.restored += restored
    report.present += records.length - restored
    report.unsealed += unsealed
    report.wrongFiles += wrongFiles
    report.elapsedMs = clock.nowMs() - startMs
    yield { ...report }
  }
  await catalog.rebuilt()
  log.info({ event: 'catalog.rebuilt', ...report })
  return report
}

/** Forgets the records whose NAR is not there, or has another size than was recorded; how many there were. */
export async function forgetLostNars(
  { catalog, store, keeper }: Pick<RebuildDeps, 'catalog' | 'store' | 'keeper'>,
  signal: AbortSignal,
): Promise<number> {
  let forgotten = 0
  for await (const page of recordPages(catalog, signal)) {
    for (const stored of page) {
      const file = await store.open(stored.key)
      const size = await file?.size()
      await file?.close()
      if (size === stored.fileBytes) continue
      await keeper.drop(stored)
      forgotten += 1
    }
  }
  return forgotten
}

/** The whole rebuild, as an operator asks for it: afterwards the catalog has what the files have, and nothing else. */
export async function* rebuild(
  deps: RebuildDeps,
  signal: AbortSignal,
): AsyncGenerator<RebuildReport> {
  const restored = yield* restoreRecords(deps, signal)
  yield { ...restored, forgotten: await forgetLostNars(deps, signal) }
}
