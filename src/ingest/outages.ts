/** Which hosts refuse connections, and since when. */
export type Outages = {
  /** A host refused one: until when it is worth waiting for, in milliseconds of `nowMs`. */
  refused(upstream: string): number
  /** It gave an answer. */
  ended(upstream: string): void
  /** A place for somebody who waits, until it is disposed of; `null` where many wait already. */
  enter(): Disposable | null
  nowMs(): number
}

/** So long a server that is started anew is waited for. */
const shortMs = 10_000
/** After so long without a refusal the next one is of another outage. */
const forgottenMs = 60_000
/** How many NARs of a thread may wait at once: they hold places, which those of other upstreams want. */
const maxWaiting = 2

type Outage = { readonly beganMs: number; readonly lastMs: number }

export function createOutages(nowMs: () => number = () => performance.now()): Outages {
  const outages = new Map<string, Outage>()
  let waiting = 0
  return {
    nowMs,
    refused(upstream) {
      const lastMs = nowMs()
      const known = outages.get(upstream)
      const isSame = known !== undefined && lastMs - known.lastMs < forgottenMs
      const beganMs = isSame ? known.beganMs : lastMs
      outages.set(upstream, { beganMs, lastMs })
      return beganMs + shortMs
    },
    ended: (upstream) => outages.delete(upstream),
    enter() {
      if (waiting >= maxWaiting) return null
      waiting += 1
      return {
        [Symbol.dispose]: () => {
          waiting -= 1
        },
      }
    },
  }
}

/** Nobody is waited for. */
export const noPatience: Outages = {
  refused: () => 0,
  ended: () => undefined,
  enter: () => null,
  nowMs: () => 0,
}
