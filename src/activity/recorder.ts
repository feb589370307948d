import type { Clock } from '../ports/clock.ts'
import type { AnswerResult, HttpMeter } from '../ports/http-meter.ts'
import type { Meter } from '../ports/meter.ts'
import type { Decision, Totals, Traffic } from './activity.ts'
import { createRecentDecisions } from './recent-decisions.ts'
import { createTrafficSteps } from './traffic-steps.ts'
import {
  createUpstreamCounter,
  type UpstreamCounter,
  type UpstreamCounts,
} from './upstream-counts.ts'

/** What is recorded of the events that are measured. */
export type RecordedEvents = Pick<HttpMeter, 'requested' | 'answered'> &
  Pick<Meter, 'upstreamAnswered' | 'narFetched'>

/** Remembers what happened lately, and counts since the start: bounded, and cheap enough for each request. */
export type Recorder = RecordedEvents & {
  /** With the clients' addresses. */
  decisions(after: number, limit: number): readonly Decision[]
  traffic(): Traffic
  totals(): Totals
  upstream(name: string): UpstreamCounts
}

const keptDecisions = 500
const stepMs = 5000
const steps = 360
/** Upstreams come and go with the configuration. */
const maxUpstreams = 1000

export function createRecorder(clock: Clock): Recorder {
  const decisions = createRecentDecisions(keptDecisions)
  const passing = createTrafficSteps({ startedMs: clock.nowMs(), stepMs, steps })
  const upstreams = new Map<string, UpstreamCounter>()
  const answers = { narinfo: noAnswers(), nar: noAnswers() }
  let sentBytes = 0
  let fetchedBytes = 0
  const counterOf = (name: string): UpstreamCounter => {
    const known = upstreams.get(name)
    if (known !== undefined) return known
    const made = createUpstreamCounter()
    if (upstreams.size < maxUpstreams) upstreams.set(name, made)
    return made
  }
  return {
    requested(route, _, bytes, seconds) {
      const nowMs = clock.nowMs()
      sentBytes += bytes
      passing.sent(bytes, nowMs)
      if (route === 'narinfo') passing.narinfoTook(seconds, nowMs)
    },
    answered(answered) {
      const nowMs = clock.nowMs()
      answers[answered.object][answered.result] += 1
      decisions.note(answered, nowMs)
      passing.answered(answered, nowMs)
    },
    upstreamAnswered({ upstream, result, seconds }) {
      counterOf(upstream).answered(result === 'error', seconds)
    },
    narFetched(upstream, bytes) {
      fetchedBytes += bytes
      counterOf(upstream).fetched(bytes)
      passing.fetched(bytes, clock.nowMs())
    },
    decisions: (after, limit) => decisions.list(after, limit),
    traffic: () => passing.traffic(clock.nowMs()),
    totals: () => ({
      ...{ narinfos: { ...answers.narinfo }, nars: { ...answers.nar } },
      ...{ sentBytes, fetchedBytes },
    }),
    upstream: (name) => counterOf(name).counts(),
  }
}

/** The same meter, whose events the recorder gets too. */
export function recordedToo<Measuring extends RecordedEvents>(
  meter: Measuring,
  recorder: RecordedEvents,
): Measuring {
  return {
    ...meter,
    requested(route, status, sentBytes, seconds) {
      meter.requested(route, status, sentBytes, seconds)
      recorder.requested(route, status, sentBytes, seconds)
    },
    answered(answered) {
      meter.answered(answered)
      recorder.answered(answered)
    },
    upstreamAnswered(answer) {
      meter.upstreamAnswered(answer)
      recorder.upstreamAnswered(answer)
    },
    narFetched(upstream, bytes) {
      meter.narFetched(upstream, bytes)
      recorder.narFetched(upstream, bytes)
    },
  }
}

function noAnswers(): Record<AnswerResult, number> {
  return { hit: 0, miss: 0, refused: 0, absent: 0, error: 0 }
}
