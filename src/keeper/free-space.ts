import type { Clock } from '../ports/clock.ts'
import type { DiskSpace, NarStore } from '../ports/nar-store.ts'

/** How much of the file system is free, whoever fills it, and how much of it is to stay so. */
export type FreeSpace = {
  /** What was free when it was looked at last, in bytes; `null` before. */
  readonly last: () => number | null
  /** The floor, in bytes; 0 before the file system was looked at. */
  readonly floor: () => number
  /** Looks, and resolves to the bytes to evict: some more than are missing, so that the next NAR is not short again. */
  missing(): Promise<number>
  /** Something was evicted for it. */
  swept(): void
}

export type FreeSpaceDeps = {
  readonly store: Pick<NarStore, 'space'>
  readonly clock: Clock
  /** The floor of now for a file system of so many bytes. */
  readonly minFreeBytes: (totalBytes: number) => number
}

/** What is evicted beyond the floor, as a part of it. */
const margin = 0.05
/** Some file systems show only after a while that a file is gone: who looked again at once would evict the same bytes again. */
const settleMs = 5000

export function createFreeSpace({ store, clock, minFreeBytes }: FreeSpaceDeps): FreeSpace {
  let seen: DiskSpace | null = null
  let sweptAtMs = -Infinity
  const floor = (): number => (seen === null ? 0 : minFreeBytes(seen.totalBytes))
  return {
    last: () => seen?.freeBytes ?? null,
    floor,
    async missing() {
      seen = await store.space()
      const least = floor()
      if (seen.freeBytes >= least || clock.nowMs() - sweptAtMs < settleMs) return 0
      return Math.ceil(least * (1 + margin) - seen.freeBytes)
    },
    swept() {
      sweptAtMs = clock.nowMs()
    },
  }
}
