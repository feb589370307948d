import type { Demand } from '../ports/nar-ingest.ts'
import { type Pace, slowSeconds } from './pace.ts'

const lookMs = 250
/** So long what somebody joined may be too slow the first time, in seconds; twice as long each further time. */
const firstPatience = 1

/**
 * Who joins a NAR that hardly moves has it fetched anew: a connection that crawls says nothing of the next one, and little is lost with it.
 * Once for each who joins, and ever more patiently, so that many of them do not keep it from ever coming.
 */
export class Renewals implements Disposable {
  #patience = firstPatience
  #current: { readonly pace: Pace; readonly renewing: AbortController } | null = null
  #timer: NodeJS.Timeout | null = null
  readonly #leave: () => void

  constructor(demand: Demand) {
    this.#leave = demand.onJoined(() => {
      if (this.#current !== null) this.#timer ??= setInterval(this.#look, lookMs)
    })
  }

  /** A source's file begins to come: those who join from now on may have it aborted, until the next one begins. */
  watch(pace: Pace, renewing: AbortController): void {
    this.#rest()
    if (this.#patience < slowSeconds) this.#current = { pace, renewing }
  }

  /** Nothing is being fetched. */
  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#current = null
  }

  readonly #look = (): void => {
    if (this.#current?.pace.isSlowFor(this.#patience) !== true) return
    const { renewing } = this.#current
    this.#patience *= 2
    this.#rest()
    renewing.abort()
  };

  [Symbol.dispose](): void {
    this.#leave()
    this.#rest()
  }
}
