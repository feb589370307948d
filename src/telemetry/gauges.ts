import { Gauge, type Registry } from 'prom-client'
import type { CircuitState } from '../ports/upstream-health.ts'
import type { RuleLabels } from './trust-metrics.ts'

/** What is read when `/metrics` is asked. */
export type Gauges = {
  readonly version: string
  readonly cache: () => CacheNumbers
  /** When the NAR was used that was not used for longest, in milliseconds since 1970; `null` where there is none. */
  readonly oldestUseMs: () => Promise<number | null>
  readonly isCacheStoring: () => boolean
  /** NARs on their way in, and those that wait until they may be. */
  readonly transfers: () => { readonly running: number; readonly waiting: number }
  /** The worker threads that run. */
  readonly ingestThreads: () => number
  /** Whether no upstream is asked: the configuration says so, or all are down. */
  readonly isOffline: () => boolean
  readonly isPolicyEnforced: () => boolean
  /** The configured upstreams, and those of them that are suspended. */
  readonly upstreams: () => readonly string[]
  readonly suspended: () => ReadonlySet<string>
  readonly circuitState: (upstream: string) => CircuitState
  readonly rules: () => readonly RuleLabels[]
}

/** All in bytes but the number of NARs. */
export type CacheNumbers = {
  readonly nars: number
  readonly used: number
  readonly limit: number
  readonly pinned: number
  /** `null` before the file system was looked at. */
  readonly free: number | null
  readonly minFree: number
}

const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, probing: 2 }

/** Puts the gauges into a registry. */
export function exposeGauges(registry: Registry, gauges: Gauges): void {
  exposeCache(registry, gauges)
  exposeUpstreams(registry, gauges)
  gauge(
    registry,
    'weir_transfers_running',
    'NARs on their way in',
    () => gauges.transfers().running,
  )
  gauge(
    registry,
    'weir_transfers_waiting',
    'NARs that wait until they may be fetched, since as many as may be are on their way in',
    () => gauges.transfers().waiting,
  )
  gauge(
    registry,
    'weir_ingest_threads',
    'Worker threads that fetch and verify NARs',
    gauges.ingestThreads,
  )
  gauge(
    registry,
    'weir_offline',
    '1 while no upstream is asked, since the configuration says so or all are down',
    () => Number(gauges.isOffline()),
  )
  gauge(
    registry,
    'weir_policy_enforced',
    '1 while the policy is enforced, 0 while it only reports',
    () => Number(gauges.isPolicyEnforced()),
  )
  new Gauge({
    name: 'weir_build_info',
    help: 'Always 1; the version is a label',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: gauges.version }, 1)
}

function exposeCache(registry: Registry, gauges: Gauges): void {
  const { cache } = gauges
  const ofCache = (name: string, help: string, read: (cache: CacheNumbers) => number): void => {
    gauge(registry, name, help, () => read(cache()))
  }
  ofCache('weir_cache_bytes', 'What the cache takes on disk, in bytes', ({ used }) => used)
  ofCache('weir_cache_nars', 'NAR files in the cache', ({ nars }) => nars)
  ofCache('weir_cache_limit_bytes', 'The most bytes that the cache may keep', ({ limit }) => limit)
  ofCache(
    'weir_cache_pinned_bytes',
    'What of the cache is pinned, and never evicted',
    ({ pinned }) => pinned,
  )
  ofCache(
    'weir_cache_free_bytes',
    "Bytes that are free on the cache's file system",
    ({ free }) => free ?? NaN,
  )
  ofCache(
    'weir_cache_min_free_bytes',
    "Bytes that are to stay free on the cache's file system",
    ({ minFree }) => minFree,
  )
  gauge(
    registry,
    'weir_cache_oldest_use_timestamp_seconds',
    'When the NAR was used that was not used for longest, in seconds since 1970; NaN where there is none',
    async () => ((await gauges.oldestUseMs()) ?? NaN) / 1000,
  )
  gauge(
    registry,
    'weir_cache_storing',
    '1 while NARs are kept, 0 while they are handed on only',
    () => Number(gauges.isCacheStoring()),
  )
}

/** Gauges with a value for each configured upstream. */
function exposeUpstreams(registry: Registry, gauges: Gauges): void {
  const ofUpstreams = (name: string, help: string, read: (upstream: string) => number): void => {
    new Gauge({
      ...{ name, help, labelNames: ['upstream'], registers: [registry] },
      collect() {
        this.reset()
        for (const upstream of gauges.upstreams()) this.set({ upstream }, read(upstream))
      },
    })
  }
  ofUpstreams(
    'weir_upstream_suspended',
    '1 where an upstream is suspended, because it lied or an operator said so',
    (upstream) => Number(gauges.suspended().has(upstream)),
  )
  ofUpstreams(
    'weir_upstream_breaker_state',
    '0 where an upstream is asked, 1 where it is not since it failed or asked for a pause, 2 where a probe finds out',
    (upstream) => circuitNumbers[gauges.circuitState(upstream)],
  )
}

function gauge(
  registry: Registry,
  name: string,
  help: string,
  read: () => number | Promise<number>,
): void {
  new Gauge({
    ...{ name, help, registers: [registry] },
    async collect() {
      this.set(await read())
    },
  })
}
