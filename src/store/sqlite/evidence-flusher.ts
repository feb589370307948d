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

export type EvidenceFlusherDeps = {
  readonly batch: EvidenceBatch
  readonly write: WriteEvidence
  readonly log: Log
  readonly intervalMs: number
}

export function createEvidenceFlusher(deps: EvidenceFlusherDeps): EvidenceFlusher {
  let timer: NodeJS.Timeout | undefined
  let failures = 0

  const stop = (): void => {
    clearTimeout(timer)
    timer = undefined
  }
  const schedule = (): void => {
    // Each failure doubles the delay: a full disk does not fill the log too.
    const delayMs = Math.min(deps.intervalMs * 2 ** failures, maxDelayMs)
    timer ??= setTimeout(tick, delayMs).unref()
  }
  const flush = (): void => {
    stop()
    try {
      writeOut(deps)
      failures = 0
    } catch (error) {
      failures += 1
      schedule()
      throw error
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

function writeOut({ batch, write, log }: EvidenceFlusherDeps): void {
  if (batch.size() === 0) return
  try {
    write(batch)
    batch.clear()
  } catch (error) {
    log.error({ event: 'evidence.failed', waiting: batch.size(), err: error })
    throw error
  } finally {
    const lost = batch.takeLost()
    if (lost > 0) log.error({ event: 'evidence.lost', records: lost, reason: 'full' })
  }
}
