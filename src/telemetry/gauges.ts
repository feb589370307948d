import { Gauge, type Registry } from 'prom-client'
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
  /** Whether no upstream is asked: the configuration says so, or all are down. */
  readonly isOffline: () => boolean
  /** The configured upstreams, and those of them that are suspended. */
  readonly upstreams: () => readonly string[]
  readonly suspended: () => ReadonlySet<string>
  readonly circuitState: (upstream: string) => CircuitState
  readonly version: string
}

const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, probing: 2 }

/** Puts the gauges into a registry. */
export function exposeGauges(registry: Registry, gauges: Gauges): void {
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
  gauge(
    registry,
    'weir_offline',
    '1 while no upstream is asked, since the configuration says so or all are down',
    () => Number(gauges.isOffline()),
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
