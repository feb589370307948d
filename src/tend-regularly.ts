import type { Log } from './ports/log.ts'
import type { StoreKeeper } from './substituter/store-keeper.ts'

export type TendDeps = {
  readonly keeper: StoreKeeper
  readonly log: Log
  /** Aborted when Weir stops. */
  readonly stopping: AbortSignal
}

const flushIntervalMs = 5000
/** Others fill disks, too. */
const tendIntervalMs = 15_000
/** What a crash left is looked for when the start is over, and whoever asks first was served. */
const firstOrphansMs = 60_000
const orphansIntervalMs = 24 * 3_600_000

/** Writes the uses of NARs now and then, and at the end; evicts where it is due; looks for what has no record. */
export function tendRegularly(
  { keeper, log, stopping }: TendDeps,
  resources: AsyncDisposableStack,
): void {
  const failed = (event: string) => (error: unknown) => {
    if (!stopping.aborted) log.error({ event, err: error })
  }
  let finding: Promise<void> | null = null
  const findOrphans = (): void => {
    finding ??= keeper
      .findOrphans(stopping)
      .catch(failed('orphans.failed'))
      .finally(() => {
        finding = null
      })
  }
  const timers = [
    setInterval(() => {
      keeper.flush().catch(failed('catalog.failed'))
    }, flushIntervalMs),
    setInterval(() => {
      void keeper.tend()
    }, tendIntervalMs),
    setTimeout(findOrphans, firstOrphansMs),
    setInterval(findOrphans, orphansIntervalMs),
  ]
  for (const timer of timers) timer.unref()
  resources.defer(async () => {
    for (const timer of timers) clearTimeout(timer)
    await finding
    await keeper.flush()
  })
}
