import type { Registry } from 'prom-client'
import type { Meter } from '../ports/meter.ts'
import { counter, plainCounter } from './counter.ts'
import { histogram } from './histogram.ts'

const answerBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

type UpstreamMeter = Pick<
  Meter,
  | 'upstreamAnswered'
  | 'upstreamRetried'
  | 'absenceRemembered'
  | 'claimJudged'
  | 'narFetched'
  | 'narSourceFailed'
  | 'narReadAhead'
>

/** Counts what upstreams are asked and answer. */
export function upstreamMeter(
  registry: Registry,
  upstreams: () => readonly string[],
): UpstreamMeter {
  const ofEach = (): readonly [string][] => upstreams().map((upstream) => [upstream])
  const requests = counter(registry, {
    name: 'weir_upstream_requests_total',
    help: 'Questions that were put to an upstream, by object (narinfo, nar, log, probe) and result (found, absent, error)',
    labels: ['upstream', 'object', 'result'],
  })
  const took = histogram(registry, {
    name: 'weir_upstream_seconds',
    help: 'Time until an upstream answered, by object (narinfo, nar, log) and result',
    labels: ['upstream', 'object', 'result'],
    bounds: answerBounds,
  })
  const ofUpstream = (name: string, help: string) =>
    counter(registry, { name, help, labels: ['upstream'] }, ofEach)
  const retries = ofUpstream(
    'weir_upstream_retries_total',
    'Questions that were put to an upstream again, since it failed for a moment',
  )
  const absences = ofUpstream(
    'weir_negative_hits_total',
    'Questions that were not put to an upstream, which did not have the path a moment ago',
  )
  const fetched = ofUpstream('weir_upstream_fetched_bytes_total', 'Bytes of NAR files fetched')
  const claims = counter(registry, {
    name: 'weir_claims_total',
    help: 'Claims judged, by upstream and result',
    labels: ['upstream', 'result'],
  })
  const failures = counter(registry, {
    name: 'weir_nar_source_failures_total',
    help: 'NARs that an upstream claimed and did not give, by code',
    labels: ['upstream', 'code'],
  })
  const readAhead = plainCounter(
    registry,
    'weir_nars_read_ahead_total',
    'NARs fetched before anybody asked for them',
  )
  return {
    upstreamAnswered({ upstream, object, result, seconds }) {
      requests.add([upstream, object, result])
      // How long a probe took says nothing to anybody, in as many lines as what does.
      if (object !== 'probe') took.observe([upstream, object, result], seconds)
    },
    upstreamRetried(upstream) {
      retries.add([upstream])
    },
    absenceRemembered(upstream) {
      absences.add([upstream])
    },
    claimJudged(upstream, result) {
      claims.add([upstream, result])
    },
    narFetched(upstream, bytes) {
      fetched.add([upstream], bytes)
    },
    narSourceFailed(upstream, code) {
      failures.add([upstream, code])
    },
    narReadAhead() {
      readAhead.add([])
    },
  }
}
