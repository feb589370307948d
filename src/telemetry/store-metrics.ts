import type { Registry } from 'prom-client'
import type { Meter } from '../ports/meter.ts'
import { counter } from './counter.ts'

/** Counts what becomes of NARs that are kept. */
export function storeMeter(
  registry: Registry,
): Pick<Meter, 'storeFailed' | 'narEvicted' | 'verifyFailed'> {
  const storeFailures = counter(
    registry,
    'weir_store_failures_total',
    'NARs that could not be kept',
    [],
  )
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
