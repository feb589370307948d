import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { NarStore } from '../ports/nar-store.ts'
import { isNoRoom, storageCode } from './storage-code.ts'
import type { StoreKeeper } from './store-keeper.ts'

/** Whether NARs can be kept. Where they cannot, they are still handed on; as soon as they can again, they are kept again. */
export type Storing = {
  /** Whether NARs are kept, as far as it is known. */
  readonly isOn: () => boolean
  /** The same, after a look where they were not kept: not at every call, and at most one at a time. */
  readonly ready: () => Promise<boolean>
  /** An attempt to keep a NAR begins. */
  readonly attempt: () => StoringAttempt
}

export type StoringAttempt = {
  /**
   * It failed, with a NAR of so many bytes. False where that was not the store's doing. Otherwise room was made where that can help, or NARs
   * are not kept for a while: `ready` says which.
   */
  readonly failed: (error: unknown, bytes: number) => Promise<boolean>
}

export type StoringDeps = {
  readonly store: Pick<NarStore, 'space' | 'tryOut'>
  readonly keeper: Pick<StoreKeeper, 'makeRoom' | 'room'>
  readonly clock: Clock
  readonly log: Log
}

/** NARs are not kept. */
type Off = {
  readonly sinceMs: number
  readonly neededBytes: number
  /** Whether the file system itself says that there is no room: then it says as well when there is some. */
  readonly isShort: boolean
  readonly pauseMs: number
  tryAtMs: number
}

/** Who frees space wants it used at once: asking for it costs nothing. */
const lookEveryMs = 1000
/** Where nothing says that it would work, how long until it is tried all the same … */
const firstPauseMs = 10_000
/** … and where it worked, but not for long. */
const maxPauseMs = 5 * 60_000
const relapseMs = 60_000
/** Some file systems show only after a while that a file is gone. */
const settleMs = 5000
const leastBytes = 1024 * 1024

export function createStoring({ store, keeper, clock, log }: StoringDeps): Storing {
  let off: Off | null = null
  let lookAtMs = -Infinity
  let looking: Promise<void> | null = null
  let making: Promise<boolean> | null = null
  let roomMade = { times: 0, atMs: -Infinity }
  let last = { endedAtMs: -Infinity, pauseMs: 0 }

  const makeRoom = (bytes: number): Promise<boolean> => {
    if (making !== null) return making
    // All that is being written now is short of the same room.
    making = keeper
      .makeRoom(Math.max(bytes, keeper.room().reserved))
      .catch((error: unknown) => {
        log.error({ event: 'eviction.failed', err: error })
        return false
      })
      .finally(() => {
        roomMade = { times: roomMade.times + 1, atMs: clock.nowMs() }
        making = null
      })
    return making
  }

  const turnOff = async (code: string, neededBytes: number): Promise<void> => {
    const free = await store.space().catch(() => null)
    if (off !== null) return
    const nowMs = clock.nowMs()
    const isRelapse = nowMs - last.endedAtMs < relapseMs
    const pauseMs = isRelapse ? Math.min(last.pauseMs * 2, maxPauseMs) : firstPauseMs
    const isShort = isNoRoom(code) && free !== null && free.freeBytes < neededBytes
    off = { sinceMs: nowMs, neededBytes, isShort, pauseMs, tryAtMs: nowMs + pauseMs }
    log.error({
      event: 'cache.streaming',
      hint: 'NARs are handed on and not kept until they can be written again',
      ...{ code, neededBytes, freeBytes: free?.freeBytes ?? null },
    })
  }

  /** Whether it is worth a try now. */
  const isWorthTrying = async (now: Off): Promise<boolean> => {
    const { freeBytes } = await store.space()
    if (now.isShort && freeBytes >= now.neededBytes) return true
    if (clock.nowMs() < now.tryAtMs) return false
    now.tryAtMs = clock.nowMs() + now.pauseMs
    if (now.isShort) await makeRoom(now.neededBytes)
    return true
  }

  const look = async (now: Off): Promise<void> => {
    if (!(await isWorthTrying(now))) return
    await store.tryOut()
    const nowMs = clock.nowMs()
    off = null
    last = { endedAtMs: nowMs, pauseMs: now.pauseMs }
    log.info({ event: 'cache.storing', seconds: Math.round((nowMs - now.sinceMs) / 1000) })
  }

  return {
    isOn: () => off === null,
    async ready() {
      if (off !== null && looking === null && clock.nowMs() >= lookAtMs) {
        lookAtMs = clock.nowMs() + lookEveryMs
        looking = look(off)
          .catch(() => undefined) // it still cannot be written
          .finally(() => {
            looking = null
          })
        await looking
      }
      return off === null
    },
    attempt() {
      const before = roomMade.times
      return {
        async failed(error, bytes) {
          const code = storageCode(error)
          if (code === null) return false
          const neededBytes = Math.max(bytes, leastBytes)
          if (off === null) {
            const isSettled = clock.nowMs() - roomMade.atMs >= settleMs
            const hadNoRoomYet = roomMade.times > before && making === null
            const mayHelp = making !== null || hadNoRoomYet || isSettled
            const isMade =
              isNoRoom(code) && mayHelp && (hadNoRoomYet || (await makeRoom(neededBytes)))
            if (!isMade) await turnOff(code, neededBytes)
          }
          return true
        },
      }
    },
  }
}
