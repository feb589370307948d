import type { Demand } from '../ports/nar-ingest.ts'
import { type Pace, slowSeconds, tooSlow } from './pace.ts'

const lookMs = 250
/** So long what somebody joined may be too slow the first time, in seconds; twice as long each further time. */
const firstPatience = 1
/** So long any may where others have not been asked yet. */
const patienceWithOthers = 5
/** Who has come so far is not left: the same would have to come again. */
const littleBytes = 1024 * 1024

/** A source's file that comes. */
export type Try = {
  readonly pace: Pace
  /** What breaks it off. */
  readonly renewing: AbortController
  /** Whether others have not been asked for it yet. */
  readonly hasOthers: boolean
  /** Whether nothing of it was handed out. */
  readonly isUnseen: () => boolean
}

/**
 * Where a NAR hardly moves from its beginning and there are others who may have it, those are asked. Who joins it has it fetched anew in any
 * case: a connection that crawls says nothing of the next one. Once for each who joins, and ever more patiently, so that many of them do not
 * keep it from ever coming.
 */
export class Renewals implements Disposable {
  #patience = firstPatience
  #current: Try | null = null
  /** Until when somebody who joined is thought of, by the pace's time. */
  #joinedUntilMs = 0
  #slowLooks = 0
  #timer: NodeJS.Timeout | null = null
  readonly #leave: () => void

  constructor(demand: Demand) {
    this.#leave = demand.onJoined(() => {
      if (this.#current === null || this.#patience >= slowSeconds) return
      // Two seconds more than it must be slow for: what moves by then moves.
      this.#joinedUntilMs = this.#current.pace.ms + (this.#patience + 2) * 1000
      this.#start()
    })
  }

  /** A source's file begins to come: it may be aborted, for a reason, until the next one begins. */
  watch(next: Try): void {
    this.#rest()
    this.#current = next
    if (next.hasOthers) this.#start()
  }

  #start(): void {
    this.#timer ??= setInterval(this.#look, lookMs)
  }

  /** Nothing is being fetched. */
  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#current = null
    this.#joinedUntilMs = 0
    this.#slowLooks = 0
  }

  readonly #look = (): void => {
    if (this.#current === null) return
    const { pace, renewing, hasOthers, isUnseen } = this.#current
    const isLeft = (seconds: number): boolean =>
      pace.bytes < littleBytes && isUnseen() && pace.isSlowFor(seconds)
    const isForJoined = pace.ms < this.#joinedUntilMs && isLeft(this.#patience)
    const isForOthers = hasOthers && isLeft(patienceWithOthers)
    // Twice in a row: where this thread was held up, what came meanwhile is read after the first look.
    this.#slowLooks = isForJoined || isForOthers ? this.#slowLooks + 1 : 0
    if (this.#slowLooks < 2) return
    if (isForJoined) this.#patience *= 2
    this.#rest()
    renewing.abort(tooSlow({ isOutpaced: isForOthers }))
  };

  [Symbol.dispose](): void {
    this.#leave()
    this.#rest()
  }
}
