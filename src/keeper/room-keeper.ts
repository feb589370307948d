import type { CacheLimits } from './cache-limits.ts'
import type { FreeSpace } from './free-space.ts'
import { sweep, type SweepReport, type SweeperDeps } from './sweeper.ts'

/** Keeps the cache within its limit, and the file system above its floor: one sweep at a time. */
export type RoomKeeper = {
  /** So many bytes more are written. */
  readonly grew: (bytes: number) => void
  /** Something came to stay: looks whether there is room for the next. */
  readonly due: () => void
  /** Looks, and resolves when what is due has been evicted. */
  readonly tend: () => Promise<void>
  /** Evicts down to the low watermark, or to `downToBytes`, and to the floor, whether or not it is due. */
  readonly sweep: (downToBytes?: number) => Promise<SweepReport>
  /** Evicts so many bytes, as far as there are, and what is due besides; whether anything went. */
  readonly make: (bytes: number) => Promise<boolean>
  /** Resolves when no sweep runs. */
  readonly idle: () => Promise<void>
}

export type RoomDeps = SweeperDeps & {
  readonly free: FreeSpace
  readonly limits: () => CacheLimits
}

/** After so many bytes that are not kept yet, free space is looked at all the same. */
const lookAfterBytes = 64 * 1024 * 1024

export function createRoomKeeper(deps: RoomDeps): RoomKeeper {
  const { size, free, limits, log } = deps
  let isDue = false
  let unseenBytes = 0
  let tending: Promise<void> | null = null
  let last: Promise<unknown> = Promise.resolve()
  const tellWhereFull = createFullTeller(deps)
  const lowBytes = (): number => (limits().maxBytes * limits().lowWatermark) / 100

  const evict = async (
    askedBytes: () => number | null,
    wantedBytes: number,
  ): Promise<SweepReport> => {
    unseenBytes = 0
    const atLeastBytes = Math.max(await free.missing(), wantedBytes)
    const isOver = size.used > limits().maxBytes
    const asked = askedBytes()
    const ceiling = (): number => asked ?? (isOver ? lowBytes() : limits().maxBytes)
    const { isReached, ...report } = await sweep(deps, { ceiling, atLeastBytes })
    if (atLeastBytes > 0) free.swept()
    tellWhereFull(isReached)
    return report
  }
  /** One after the other: what one sweep evicts, the next need not. */
  const inTurn = (askedBytes: () => number | null, wantedBytes = 0): Promise<SweepReport> => {
    const turn = last.then(() => evict(askedBytes, wantedBytes))
    last = turn.catch(() => undefined)
    return turn
  }
  const whileDue = async (): Promise<void> => {
    while (isDue) {
      isDue = false
      await inTurn(() => null)
    }
  }
  const due = (): void => {
    isDue = true
    tending ??= whileDue()
      .catch((error: unknown) => {
        log.error({ event: 'eviction.failed', err: error })
      })
      .finally(() => {
        tending = null
        if (isDue) due()
      })
  }
  const idle = async (): Promise<void> => {
    while (tending !== null) await tending
    await last
  }
  return {
    grew(bytes) {
      unseenBytes += bytes
      if (size.used > limits().maxBytes || unseenBytes >= lookAfterBytes) due()
    },
    due,
    tend() {
      due()
      return idle()
    },
    sweep: (downToBytes) => inTurn(() => downToBytes ?? lowBytes()),
    async make(bytes) {
      const report = await inTurn(() => null, bytes)
      return report.nars > 0
    },
    idle,
  }
}

/** Tells once that there is no room and nothing to evict, until there is room again. */
function createFullTeller({ size, free, limits, log }: RoomDeps): (isReached: boolean) => void {
  let isFull = false
  return (isReached) => {
    const freeBytes = free.last()
    if (isReached) {
      isFull &&= freeBytes !== null && freeBytes < free.floor()
      return
    }
    if (isFull) return
    isFull = true
    log.error({
      event: 'cache.full',
      hint: 'nothing is left that may be evicted: others fill the disk, or what is pinned is larger than the cache may be',
      ...{ usedBytes: size.used, limitBytes: limits().maxBytes, pinnedBytes: size.pinned },
      ...{ freeBytes, minFreeBytes: free.floor() },
    })
  }
}
