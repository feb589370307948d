import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { HttpMeter } from '../http/http-meter.ts'
import type { Meter } from '../ports/meter.ts'
import type { CircuitState } from '../ports/upstream-health.ts'

/** What is read when `/metrics` is asked. */
export type Gauges = {
  readonly cacheBytes: () => number
  readonly cacheNars: () => number
  readonly cacheLimitBytes: () => number
  readonly cachePinnedBytes: () => number
  /** `NaN` before the file system was looked at. */
  readonly cacheFreeBytes: () => number
  readonly isCacheStoring: () => boolean
  /** The configured upstreams, and those of them that are suspended. */
  readonly upstreams: () => readonly string[]
  readonly suspended: () => ReadonlySet<string>
  readonly circuitState: (upstream: string) => CircuitState
  readonly version: string
}

export type Metrics = Meter &
  HttpMeter & {
    /** Everything, in Prometheus' text format. */
    expose(): Promise<{ readonly contentType: string; readonly text: string }>
  }

const latencyBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Weir's metrics, in a registry of their own. Labels are finite: routes, statuses, results, upstreams. */
export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry()
  // At the default of 10 ms the delay of the event loop is what is measured with.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 1 })
  exposeGauges(registry, gauges)
  return {
    ...httpMeter(registry),
    ...upstreamMeter(registry),
    expose: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}

function httpMeter(registry: Registry): HttpMeter {
  const requests = counter(registry, 'weir_http_requests_total', 'Requests by route and status', [
    'route',
    'status',
  ])
  const sent = counter(
    registry,
    'weir_http_sent_bytes_total',
    'Bytes sent to clients, headers included',
    ['route'],
  )
  const answers = {
    narinfo: counter(
      registry,
      'weir_narinfo_answers_total',
      'Narinfo answers by result and upstream',
      ['result', 'upstream'],
    ),
    nar: counter(registry, 'weir_nar_answers_total', 'NAR answers by result and upstream', [
      'result',
      'upstream',
    ]),
  }
  return {
    requested(route, status, sentBytes) {
      requests.inc({ route, status })
      sent.inc({ route }, sentBytes)
    },
    answered(object, result, upstream) {
      answers[object].inc({ result, upstream })
    },
  }
}

function upstreamMeter(registry: Registry): Meter {
  const latency = new Histogram({
    name: 'weir_upstream_seconds',
    help: 'Time until an upstream answered, by object and result (found, absent, error)',
    labelNames: ['upstream', 'object', 'result'],
    buckets: latencyBuckets,
    registers: [registry],
  })
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
  const storeFailures = counter(
    registry,
    'weir_store_failures_total',
    'NARs that could not be kept',
    [],
  )
  const readAhead = counter(
    registry,
    'weir_nars_read_ahead_total',
    'NARs fetched before anybody asked for them',
    [],
  )
  const trust = trustMeter(registry)
  const evictions = counter(registry, 'weir_cache_evictions_total', 'NARs evicted', [])
  const evicted = counter(
    registry,
    'weir_cache_evicted_bytes_total',
    'Bytes of NAR files evicted',
    [],
  )
  const wrong = counter(
    registry,
    'weir_verify_failures_total',
    'Stored NARs that turned out wrong when they were verified again, by finding',
    ['finding'],
  )
  return {
    upstreamAnswered({ upstream, object, result, seconds }) {
      latency.observe({ upstream, object, result }, seconds)
    },
    claimJudged(upstream, result) {
      claims.inc({ upstream, result })
    },
    ...trust,
    narFetched(upstream, bytes) {
      fetched.inc({ upstream }, bytes)
    },
    narSourceFailed(upstream, code) {
      failures.inc({ upstream, code })
    },
    narReadAhead() {
      readAhead.inc()
    },
    storeFailed() {
      storeFailures.inc()
    },
    narEvicted(bytes) {
      evictions.inc()
      evicted.inc(bytes)
    },
    verifyFailed(finding) {
      wrong.inc({ finding })
    },
  }
}

function trustMeter(
  registry: Registry,
): Pick<Meter, 'badSignature' | 'diverged' | 'nameLied' | 'wouldRefuse'> {
  const bad = counter(
    registry,
    'weir_bad_signatures_total',
    'Signatures that failed under a key that Weir holds',
    ['upstream'],
  )
  const lies = counter(
    registry,
    'weir_lying_names_total',
    'Signed names that contradict a better one; the upstream is suspended',
    ['upstream'],
  )
  const divergences = counter(
    registry,
    'weir_divergences_total',
    'Paths of which trusted claims differ',
    [],
  )
  const wouldRefuse = counter(
    registry,
    'weir_would_refuse_total',
    'Report only: narinfos that were answered and that the policy would refuse, by reason',
    ['reason'],
  )
  return {
    badSignature(upstream) {
      bad.inc({ upstream })
    },
    diverged() {
      divergences.inc()
    },
    nameLied(upstream) {
      lies.inc({ upstream })
    },
    wouldRefuse(reason) {
      wouldRefuse.inc({ reason })
    },
  }
}

const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, probing: 2 }

function exposeGauges(registry: Registry, gauges: Gauges): void {
  gauge(registry, 'weir_cache_bytes', 'What the cache takes on disk, in bytes', gauges.cacheBytes)
  gauge(registry, 'weir_cache_nars', 'NAR files in the cache', gauges.cacheNars)
  gauge(
    registry,
    'weir_cache_limit_bytes',
    'The most bytes that the cache may keep',
    gauges.cacheLimitBytes,
  )
  gauge(
    registry,
    'weir_cache_pinned_bytes',
    'What of the cache is pinned, and never evicted',
    gauges.cachePinnedBytes,
  )
  gauge(
    registry,
    'weir_cache_free_bytes',
    "Bytes that are free on the cache's file system",
    gauges.cacheFreeBytes,
  )
  gauge(
    registry,
    'weir_cache_storing',
    '1 while NARs are kept, 0 while they are handed on only',
    () => Number(gauges.isCacheStoring()),
  )
  ofUpstreams(
    registry,
    gauges,
    'weir_upstream_suspended',
    '1 where an upstream is suspended, because it lied or an operator said so',
    (upstream) => Number(gauges.suspended().has(upstream)),
  )
  ofUpstreams(
    registry,
    gauges,
    'weir_upstream_breaker_state',
    '0 where an upstream is asked, 1 where it is not since it failed or asked for a pause, 2 where a probe finds out',
    (upstream) => circuitNumbers[gauges.circuitState(upstream)],
  )
  new Gauge({
    name: 'weir_build_info',
    help: 'Always 1; the version is a label',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: gauges.version }, 1)
}

/** A gauge with a value for each configured upstream. */
function ofUpstreams(
  registry: Registry,
  { upstreams }: Pick<Gauges, 'upstreams'>,
  name: string,
  help: string,
  read: (upstream: string) => number,
): void {
  new Gauge({
    ...{ name, help, labelNames: ['upstream'], registers: [registry] },
    collect() {
      this.reset()
      for (const upstream of upstreams()) this.set({ upstream }, read(upstream))
    },
  })
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}

function counter<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
): Counter<Label> {
  return new Counter({ name, help, labelNames, registers: [registry] })
}
