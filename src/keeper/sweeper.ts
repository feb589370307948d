import { setImmediate } from 'node:timers/promises'
import { narFileName } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { Catalog, UsedNar } from '../ports/catalog.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { CacheSize } from './cache-size.ts'
import type { Orphans } from './orphans.ts'

/** What a sweep removed: how many NARs, and what they took on disk. */
export type SweepReport = { readonly nars: number; readonly bytes: number }

/** How far a sweep goes: until the cache takes no more than `ceiling()`, and at least so many bytes were evicted. */
export type SweepGoal = { readonly ceiling: () => number; readonly atLeastBytes: number }

export type SweeperDeps = {
  readonly size: CacheSize
  readonly orphans: Orphans
  readonly catalog: Catalog
  readonly log: Log
  readonly meter: Meter
  readonly isPinned: (hash: StorePathHash) => boolean
  /** Writes down the uses that eviction goes by. */
  readonly flushUses: () => Promise<void>
  readonly drop: (nar: UsedNar) => Promise<void>
  /** Aborted when a sweep must end, finished or not. */
  readonly stopping: AbortSignal
}

/** So many are looked at in one go; between two, requests are answered. */
const sliceNars = 16

/**
 * Evicts up to a goal: first what has no record, then what was used longest ago. What is pinned stays. Resolves to what went, and to
 * whether the goal was reached: where not, there is nothing left to evict.
 */
export async function sweep(
  deps: SweeperDeps,
  { ceiling, atLeastBytes }: SweepGoal,
): Promise<SweepReport & { readonly isReached: boolean }> {
  const { size, orphans, catalog, log, meter, isPinned } = deps
  let [nars, bytes] = [0, 0]
  const isReached = (): boolean =>
    deps.stopping.aborted || (size.used <= ceiling() && bytes >= atLeastBytes)
  const evicted = (its: number): void => {
    nars += 1
    bytes += its
    meter.narEvicted(its)
  }
  while (!isReached()) {
    const its = await orphans.removeOne()
    if (its === null) break
    evicted(its)
  }
  let after: UsedNar | null = null
  while (!isReached()) {
    await deps.flushUses()
    const slice: readonly UsedNar[] = await catalog.leastRecentlyUsed(sliceNars, after)
    for (const nar of slice) {
      after = nar
      if (isPinned(nar.key.storePathHash)) continue
      await deps.drop(nar)
      evicted(nar.diskBytes)
      log.debug({ event: 'nar.evicted', nar: narFileName(nar.key), bytes: nar.diskBytes })
      if (isReached()) break
    }
    if (slice.length === 0) return { nars, bytes, isReached: false }
    await setImmediate()
  }
  return { nars, bytes, isReached: true }
}
