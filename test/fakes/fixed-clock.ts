import type { Clock } from '../../src/ports/clock.ts'

/** A clock that stands still until a test moves it. */
export type FixedClock = Clock & { advance(ms: number): void }

export function createFixedClock(startMs = 1_750_000_000_000): FixedClock {
  let now = startMs
  return {
    nowMs: () => now,
    advance(ms) {
      now += ms
    },
  }
}
