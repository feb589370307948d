import type { Log } from './ports/log.ts'
import type { Storing } from './keeper/storing.ts'
import type { StoreKeeper } from './keeper/store-keeper.ts'

export type TendDeps = {
  readonly keeper: StoreKeeper
  readonly storing: Storing
  readonly log: Log
  /** Aborted when Weir stops. */
  readonly stopping: AbortSignal
  /** While the catalog is made again from the files, nearly all are without a record. */
  readonly isRebuilding: () => boolean
}

const flushIntervalMs = 5000
/** Others fill disks, too. */
const tendIntervalMs = 15_000
/** What a crash left is looked for when the start is over, and whoever asks first was served. */
const firstOrphansMs = 60_000
const orphansIntervalMs = 24 * 3_600_000

/** Writes the uses of NARs now and then, and at the end; evicts where it is due; looks for what has no record. */
export function tendRegularly(
  { keeper, storing, log, stopping, isRebuilding }: TendDeps,
  resources: AsyncDisposableStack,
): void {
  const failed = (event: string) => (error: unknown) => {
    if (!stopping.aborted) log.error({ event, err: error })
  }
  let isFlushed = true
  const flushed = (): void => {
    isFlushed = true
  }
  /* Told once: a full disk stays so for a while, and the log may be on it. */
  const notFlushed = (error: unknown): void => {
    if (isFlushed) failed('catalog.failed')(error)
    isFlushed = false
  }
  let finding: Promise<void> | null = null
  const timers: NodeJS.Timeout[] = []
  const later = (act: () => void): void => {
    timers.push(setTimeout(act, firstOrphansMs).unref())
  }
  const findOrphans = (): void => {
    if (isRebuilding()) {
      later(findOrphans)
      return
    }
    finding ??= keeper
      .findOrphans(stopping)
      .catch(failed('orphans.failed'))
      .finally(() => {
        finding = null
      })
  }
  timers.push(
    setInterval(() => {
      keeper.flush().then(flushed, notFlushed)
    }, flushIntervalMs),
    setInterval(() => {
      void keeper.tend()
      void storing.ready()
    }, tendIntervalMs),
    setInterval(findOrphans, orphansIntervalMs),
  )
  later(findOrphans)
  for (const timer of timers) timer.unref()
  resources.defer(async () => {
    for (const timer of timers) clearTimeout(timer)
    await finding
    await keeper.flush()
  })
}
