import type { Log } from '../../ports/log.ts'
import type { EvidenceBatch } from './evidence-batch.ts'
import type { WriteEvidence } from './evidence-writer.ts'

/** Writes the batch from time to time. */
export type EvidenceFlusher = {
  /** Makes sure that the batch is written within the interval. */
  schedule(): void
  /** Writes the batch now. Where that fails it is logged and thrown, the batch is kept, and tried again later. */
  flush(): void
  /** Ends the trying. */
  stop(): void
}

const maxDelayMs = 10_000

export function createEvidenceFlusher(deps: {
  readonly batch: EvidenceBatch
  readonly write: WriteEvidence
  readonly log: Log
  readonly intervalMs: number
}): EvidenceFlusher {
  const { batch, write, log, intervalMs } = deps
  let timer: NodeJS.Timeout | undefined
  let failures = 0

  const stop = (): void => {
    clearTimeout(timer)
    timer = undefined
  }
  const schedule = (): void => {
    // Each failure doubles the delay: a full disk does not fill the log too.
    const delayMs = Math.min(intervalMs * 2 ** failures, maxDelayMs)
    timer ??= setTimeout(tick, delayMs).unref()
  }
  const flush = (): void => {
    stop()
    if (batch.size() === 0) return
    try {
      write(batch)
      batch.clear()
      failures = 0
    } catch (error) {
      failures += 1
      log.error({ event: 'evidence.failed', waiting: batch.size(), err: error })
      schedule()
      throw error
    } finally {
      const lost = batch.takeLost()
      if (lost > 0) log.error({ event: 'evidence.lost', records: lost, reason: 'full' })
    }
  }
  function tick(): void {
    try {
      flush()
    } catch {
      // Logged, and scheduled again.
    }
  }
  return { schedule, flush, stop }
}
