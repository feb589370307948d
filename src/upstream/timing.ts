import { setTimeout } from 'node:timers/promises'

/** How the time between two tries passes; injected, so that tests need not wait. */
export type Timing = {
  /** Resolves after so many milliseconds; rejects at once when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

export const realTiming: Timing = {
  pause: (ms, signal) => setTimeout(ms, undefined, { signal }),
  random: Math.random,
}
