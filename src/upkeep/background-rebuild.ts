import type { StoreKeeper } from '../keeper/store-keeper.ts'
import { type RebuildDeps, restoreRecords } from './rebuild.ts'

/** Rebuilds the catalog by itself, beside everything else. */
export type BackgroundRebuild = AsyncDisposable & {
  /** Starts where a rebuild is due and none runs. */
  startWhereDue(): void
  /** For a catalog that is another one since: what it holds is counted, and it is rebuilt. */
  catalogRenewed(): void
  /** Whether one runs now. */
  isRunning(): boolean
  /** Resolves when none runs any more. */
  settled(): Promise<void>
}

type Deps = RebuildDeps & { readonly keeper: Pick<StoreKeeper, 'recount'> }

/** One that ends early, because Weir stops or fails, is due again at the next start. */
export function createBackgroundRebuild(deps: Deps): BackgroundRebuild {
  let abort = new AbortController()
  let running: Promise<void> | null = null

  const run = async (signal: AbortSignal): Promise<void> => {
    if (!(await deps.catalog.isRebuildDue())) return
    // What it reports is logged at its end.
    const batches = restoreRecords(deps, signal)
    while ((await batches.next()).done !== true);
  }
  const start = (prepare: () => Promise<void>): void => {
    const { signal } = abort
    const mine: Promise<void> = (running ?? Promise.resolve())
      .then(prepare)
      .then(() => run(signal))
      .catch((error: unknown) => {
        if (!signal.aborted) deps.log.error({ event: 'rebuild.failed', err: error })
      })
      .finally(() => {
        if (running === mine) running = null
      })
    running = mine
  }
  return {
    startWhereDue() {
      start(() => Promise.resolve())
    },
    catalogRenewed() {
      // One that runs has begun with a catalog that is gone.
      abort.abort()
      abort = new AbortController()
      start(() => deps.keeper.recount())
    },
    isRunning: () => running !== null,
    async settled() {
      while (running !== null) await running
    },
    async [Symbol.asyncDispose]() {
      abort.abort()
      await running
    },
  }
}
