import type { Demand } from '../ports/nar-ingest.ts'
import { type Pace, slowSeconds, tooSlow } from './pace.ts'

const lookMs = 250
/** So long what somebody joined may be too slow the first time, in seconds; twice as long each further time. */
const firstPatience = 1
/** So long any may where others have not been asked yet. */
const patienceWithOthers = 5

/** A source's file that comes, what breaks it off, and whether others have not been asked for it yet. */
export type Try = {
  readonly pace: Pace
  readonly renewing: AbortController
  readonly hasOthers: boolean
}

/**
 * Where a NAR hardly moves and there are others who may have it, those are asked. Who joins it has it fetched anew in any case: a connection
 * that crawls says nothing of the next one, and little is lost with it. Once for each who joins, and ever more patiently, so that many of
 * them do not keep it from ever coming.
 */
export class Renewals implements Disposable {
  #patience = firstPatience
  #current: Try | null = null
  #isJoined = false
  #timer: NodeJS.Timeout | null = null
  readonly #leave: () => void

  constructor(demand: Demand) {
    this.#leave = demand.onJoined(() => {
      this.#isJoined = true
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
    if (this.#current !== null) this.#timer ??= setInterval(this.#look, lookMs)
  }

  /** Nothing is being fetched. */
  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#current = null
    this.#isJoined = false
  }

  readonly #look = (): void => {
    if (this.#current === null) return
    const { pace, renewing, hasOthers } = this.#current
    const isForJoined =
      this.#isJoined && this.#patience < slowSeconds && pace.isSlowFor(this.#patience)
    if (!isForJoined && !(hasOthers && pace.isSlowFor(patienceWithOthers))) return
    if (isForJoined) this.#patience *= 2
    this.#rest()
    renewing.abort(tooSlow({ hasOthers }))
  };

  [Symbol.dispose](): void {
    this.#leave()
    this.#rest()
  }
}
