import type { Answered } from '../ports/http-meter.ts'
import type { Traffic } from './activity.ts'
import { createLatencySteps } from './latency-steps.ts'
import { createStepClock } from './step-clock.ts'

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
const columns = { narinfos: 0, nars: 1, narHits: 2, narMisses: 3, sent: 4, fetched: 5 } as const
type Column = (typeof columns)[keyof typeof columns]
const width = 6

export function createTrafficSteps(options: TrafficOptions): TrafficSteps {
  // One more than are shown: the step that runs.
  const slots = options.steps + 1
  const counts = new Float64Array(slots * width)
  const latencies = createLatencySteps(slots)
  const steps = createStepClock(options, (slot) => {
    counts.fill(0, slot * width, slot * width + width)
    latencies.clear(slot)
  })
  const add = (column: Column, amount: number, nowMs: number): void => {
    const index = steps.slotAt(nowMs) * width + column
    counts[index] = (counts[index] ?? 0) + amount
  }
  return {
    answered({ object, result }, nowMs) {
      add(object === 'nar' ? columns.nars : columns.narinfos, 1, nowMs)
      if (object !== 'nar') return
      if (result === 'hit') add(columns.narHits, 1, nowMs)
      else if (result === 'miss') add(columns.narMisses, 1, nowMs)
    },
    narinfoTook(seconds, nowMs) {
      latencies.add(steps.slotAt(nowMs), seconds)
    },
    sent(bytes, nowMs) {
      add(columns.sent, bytes, nowMs)
    },
    fetched(bytes, nowMs) {
      add(columns.fetched, bytes, nowMs)
    },
    traffic: (nowMs) =>
      trafficOf(options.stepMs, steps.over(nowMs), {
        count: (slot, column) => counts[slot * width + column] ?? 0,
        quantileMs: (slot, quantile) => latencies.quantileMs(slot, quantile),
      }),
  }
}

type Counted = {
  readonly count: (slot: number, column: Column) => number
  readonly quantileMs: (slot: number, quantile: number) => number | null
}

function trafficOf(
  stepMs: number,
  over: readonly { readonly slot: number; readonly endMs: number }[],
  { count, quantileMs }: Counted,
): Traffic {
  const perSecond = (column: Column): readonly number[] =>
    over.map(({ slot }) => (count(slot, column) * 1000) / stepMs)
  return {
    stepMs,
    timesMs: over.map(({ endMs }) => endMs),
    narinfosPerSecond: perSecond(columns.narinfos),
    narsPerSecond: perSecond(columns.nars),
    sentBytesPerSecond: perSecond(columns.sent),
    fetchedBytesPerSecond: perSecond(columns.fetched),
    narHitRatio: over.map(({ slot }) =>
      ratio(count(slot, columns.narHits), count(slot, columns.narMisses)),
    ),
    narinfoMedianMs: over.map(({ slot }) => quantileMs(slot, 0.5)),
    narinfoP95Ms: over.map(({ slot }) => quantileMs(slot, 0.95)),
  }
}

function ratio(hits: number, misses: number): number | null {
  return hits + misses === 0 ? null : hits / (hits + misses)
}
