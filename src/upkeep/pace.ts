import { setTimeout } from 'node:timers/promises'

/** Lets so many bytes pass as its rate allows; resolves when the next may. */
export type Pace = (bytes: number, signal: AbortSignal) => Promise<void>

export type PaceClock = {
  /** Milliseconds of a clock that only goes forwards. */
  readonly nowMs: () => number
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>
}

const systemClock: PaceClock = {
  nowMs: () => performance.now(),
  wait: (ms, signal) => setTimeout(ms, undefined, { signal }),
}

/** So short a wait is left to the next one. */
const leastWaitMs = 5

/** A pace of so many bytes a second; `null` lets everything pass. What was not used for a while is not made up for. */
export function createPace(bytesPerSecond: number | null, clock: PaceClock = systemClock): Pace {
  if (bytesPerSecond === null) return () => Promise.resolve()
  let freeAtMs = clock.nowMs()
  return async (bytes, signal) => {
    const now = clock.nowMs()
    freeAtMs = Math.max(freeAtMs, now) + (bytes / bytesPerSecond) * 1000
    const waitMs = freeAtMs - now
    if (waitMs > leastWaitMs) await clock.wait(waitMs, signal)
  }
}
