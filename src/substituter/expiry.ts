import type { Clock } from '../ports/clock.ts'

/** Options of an LRUCache whose entries expire by a clock, and not by the process's own time. */
export function expiryBy(clock: Clock) {
  return { perf: { now: () => clock.nowMs() }, ttlResolution: 0 }
}
