import { Histogram, type Registry } from 'prom-client'
import type { Meter } from '../ports/meter.ts'
import { counter } from './counter.ts'

const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

type UpstreamMeter = Pick<
  Meter,
  | 'upstreamAnswered'
  | 'absenceRemembered'
  | 'claimJudged'
  | 'narFetched'
  | 'narSourceFailed'
  | 'narReadAhead'
>

/** Counts what upstreams are asked and answer. */
export function upstreamMeter(registry: Registry): UpstreamMeter {
  const latency = new Histogram({
    name: 'weir_upstream_seconds',
    help: 'Time until an upstream answered, by object and result (found, absent, error)',
    labelNames: ['upstream', 'object', 'result'],
    buckets: latencyBuckets,
    registers: [registry],
  })
  const absences = counter(
    registry,
    'weir_negative_hits_total',
    'Questions that were not put to an upstream, which did not have the path a moment ago',
    ['upstream'],
  )
  const claims = counter(registry, 'weir_claims_total', 'Claims judged, by upstream and result', [
    'upstream',
    'result',
  ])
  const fetched = counter(
    registry,
    'weir_upstream_fetched_bytes_total',
    'Bytes of NAR files fetched',
    ['upstream'],
  )
  const failures = counter(
    registry,
    'weir_nar_source_failures_total',
    'NARs that an upstream claimed and did not give, by code',
    ['upstream', 'code'],
  )
  const readAhead = counter(
    registry,
    'weir_nars_read_ahead_total',
    'NARs fetched before anybody asked for them',
    [],
  )
  return {
    upstreamAnswered({ upstream, object, result, seconds }) {
      latency.observe({ upstream, object, result }, seconds)
    },
    absenceRemembered(upstream) {
      absences.inc({ upstream })
    },
    claimJudged(upstream, result) {
      claims.inc({ upstream, result })
    },
    narFetched(upstream, bytes) {
      fetched.inc({ upstream }, bytes)
    },
    narSourceFailed(upstream, code) {
      failures.inc({ upstream, code })
    },
    narReadAhead() {
      readAhead.inc()
    },
  }
}
