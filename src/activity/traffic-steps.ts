import type { Answered } from '../ports/http-meter.ts'
import type { Traffic } from './activity.ts'
import { createLatencySteps } from './latency-steps.ts'

/** What passes, counted in steps of time. */
export type TrafficSteps = {
  answered(answered: Pick<Answered, 'object' | 'result'>, nowMs: number): void
  /** How long a narinfo took. */
  narinfoTook(seconds: number, nowMs: number): void
  sent(bytes: number, nowMs: number): void
  fetched(bytes: number, nowMs: number): void
  /** The steps that are over, as far as they are kept. */
  traffic(nowMs: number): Traffic
}

export type TrafficOptions = {
  readonly startedMs: number
  readonly stepMs: number
  /** How many steps are kept. */
  readonly steps: number
}

/** What is counted of a step, in a row of numbers. */
const columns = ['narinfos', 'nars', 'narHits', 'narMisses', 'sent', 'fetched'] as const
type Column = (typeof columns)[number]
const width = columns.length

export function createTrafficSteps({ startedMs, stepMs, steps }: TrafficOptions): TrafficSteps {
  // One more than are shown: the step that runs.
  const slots = steps + 1
  const counts = new Float64Array(slots * width)
  const latencies = createLatencySteps(slots)
  const first = Math.floor(startedMs / stepMs)
  let current = first

  /** The slot of now. A clock that was set back counts to the step that it was in. */
  const slotAt = (nowMs: number): number => {
    const step = Math.floor(nowMs / stepMs)
    if (step > current) {
      for (let next = Math.max(current + 1, step - slots + 1); next <= step; next += 1) {
        counts.fill(0, (next % slots) * width, (next % slots) * width + width)
        latencies.clear(next % slots)
      }
      current = step
    }
    return current % slots
  }
  const add = (column: Column, amount: number, nowMs: number): void => {
    const index = slotAt(nowMs) * width + columns.indexOf(column)
    counts[index] = (counts[index] ?? 0) + amount
  }
  return {
    answered({ object, result }, nowMs) {
      add(object === 'nar' ? 'nars' : 'narinfos', 1, nowMs)
      if (object !== 'nar') return
      if (result === 'hit') add('narHits', 1, nowMs)
      else if (result === 'miss') add('narMisses', 1, nowMs)
    },
    narinfoTook(seconds, nowMs) {
      latencies.add(slotAt(nowMs), seconds)
    },
    sent(bytes, nowMs) {
      add('sent', bytes, nowMs)
    },
    fetched(bytes, nowMs) {
      add('fetched', bytes, nowMs)
    },
    traffic(nowMs) {
      slotAt(nowMs)
      const oldest = Math.max(first, current - steps)
      const over = Array.from({ length: current - oldest }, (_, index) => oldest + index)
      const of = (column: Column) => (step: number) =>
        counts[(step % slots) * width + columns.indexOf(column)] ?? 0
      const perSecond = (column: Column): readonly number[] => {
        const count = of(column)
        return over.map((step) => (count(step) * 1000) / stepMs)
      }
      const quantile = (share: number) => (step: number) =>
        latencies.quantileMs(step % slots, share)
      return {
        stepMs,
        timesMs: over.map((step) => (step + 1) * stepMs),
        narinfosPerSecond: perSecond('narinfos'),
        narsPerSecond: perSecond('nars'),
        sentBytesPerSecond: perSecond('sent'),
        fetchedBytesPerSecond: perSecond('fetched'),
        narHitRatio: over.map((step) => ratio(of('narHits')(step), of('narMisses')(step))),
        narinfoMedianMs: over.map(quantile(0.5)),
        narinfoP95Ms: over.map(quantile(0.95)),
      }
    },
  }
}

function ratio(hits: number, misses: number): number | null {
  return hits + misses === 0 ? null : hits / (hits + misses)
}
