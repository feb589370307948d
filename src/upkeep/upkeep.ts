import type { StoreKeeper } from '../keeper/store-keeper.ts'
import type { SweepReport } from '../keeper/sweeper.ts'
import { type ListedNar, listStored } from './list-stored.ts'
import { rebuild, type RebuildDeps, type RebuildReport } from './rebuild.ts'
import type { PathSelection } from './select-paths.ts'
import { type StoreStats, storeStats } from './stats.ts'
import { thinProgress } from './thin-progress.ts'
import { verify, type VerifyDeps, type VerifyEvent, type VerifyOptions } from './verify.ts'

/** What an operator can do for the store and its catalog, beside a running Weir or without one. */
export type Upkeep = {
  verify(request: VerifyRequest, signal: AbortSignal): AsyncIterable<VerifyEvent>
  /** Reports how far it came, and at the end what it did. */
  rebuild(signal: AbortSignal): AsyncIterable<RebuildReport>
  /** Evicts down to the limit, or to less where that is said. */
  gc(downToBytes: number | null): Promise<GcReport>
  stats(top: number, signal: AbortSignal): Promise<StatsReport>
  list(selection: PathSelection, signal: AbortSignal): AsyncIterable<ListedNar>
}

export type VerifyRequest = Pick<VerifyOptions, 'selection' | 'bytesPerSecond'>

export type GcReport = {
  readonly swept: SweepReport
  readonly left: { readonly nars: number; readonly bytes: number }
  readonly limitBytes: number
}

export type StatsReport = StoreStats & {
  readonly limitBytes: number
  /** Whether the catalog is being rebuilt, so that the numbers still grow. */
  readonly isRebuilding: boolean
}

export type UpkeepDeps = VerifyDeps &
  RebuildDeps & {
    readonly keeper: StoreKeeper
    readonly limitBytes: () => number
    readonly isRebuilding: () => boolean
    /** How many NARs are verified at the same time. */
    readonly parallel: number
  }

const progressIntervalMs = 200

export function createUpkeep(deps: UpkeepDeps): Upkeep {
  const { catalog, keeper, parallel, clock } = deps
  const thin = { intervalMs: progressIntervalMs, nowMs: () => clock.nowMs() }
  return {
    verify: (request, signal) =>
      thinProgress(
        verify(deps, { ...request, parallel }, signal),
        ({ kind }) => kind === 'progress',
        thin,
      ),
    rebuild: (signal) => thinProgress(rebuild(deps, signal), () => true, thin),
    async gc(downToBytes) {
      const swept = await (downToBytes === null ? keeper.sweep() : keeper.sweep(downToBytes))
      const { count, bytes } = keeper.totals()
      return { swept, left: { nars: count, bytes }, limitBytes: deps.limitBytes() }
    },
    async stats(top, signal) {
      const stats = await storeStats(catalog, top, signal)
      return { ...stats, limitBytes: deps.limitBytes(), isRebuilding: deps.isRebuilding() }
    },
    list: (selection, signal) => listStored(catalog, selection, signal),
  }
}
