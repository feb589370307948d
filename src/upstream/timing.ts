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

/** Between which bounds a pause grows. */
export type Backoff = { readonly baseMs: number; readonly capMs: number }

/** How long to wait before the try after so many failures (1 or more): anything up to a bound that doubles, so that those who failed together do not come again together. */
export function fullJitterMs(
  failures: number,
  { baseMs, capMs }: Backoff,
  random: () => number,
): number {
  return random() * Math.min(capMs, baseMs * 2 ** (failures - 1))
}
