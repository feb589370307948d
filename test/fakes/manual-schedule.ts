import type { Schedule } from '../../src/upstream/steady/circuit.ts'
import type { FixedClock } from './fixed-clock.ts'

/** Timers that a test moves, together with its clock. */
export type ManualSchedule = {
  readonly schedule: Schedule
  /** Moves the clock, and acts what became due. */
  readonly advance: (ms: number) => void
}

export function createManualSchedule(clock: FixedClock): ManualSchedule {
  const waiting = new Set<{ readonly atMs: number; readonly act: () => void }>()
  return {
    schedule(ms, act) {
      const entry = { atMs: clock.nowMs() + ms, act }
      waiting.add(entry)
      return () => {
        waiting.delete(entry)
      }
    },
    advance(ms) {
      clock.advance(ms)
      for (const entry of [...waiting].filter(({ atMs }) => atMs <= clock.nowMs())) {
        waiting.delete(entry)
        entry.act()
      }
    },
  }
}
