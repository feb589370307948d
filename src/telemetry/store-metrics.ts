import type { Registry } from 'prom-client'
import type { IngestResult, Meter, StoreFailureCode, VerifyFinding } from '../ports/meter.ts'
import { counter, plainCounter } from './counter.ts'

const ingestResults: readonly IngestResult[] = ['stored', 'streamed', 'failed']
const storeFailureCodes: readonly StoreFailureCode[] = [
  ...(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EIO', 'other'] as const),
]
const verifyFindings: readonly VerifyFinding[] = [
  ...(['no-file', 'wrong-size', 'unreadable-file'] as const),
  ...(['file-hash-mismatch', 'nar-mismatch', 'unreadable-claim'] as const),
]

/** Counts what becomes of NARs that come in, and that are kept. */
export function storeMeter(
  registry: Registry,
): Pick<Meter, 'narIngested' | 'storeFailed' | 'narEvicted' | 'verifyFailed'> {
  const ingested = counter(
    registry,
    {
      name: 'weir_nars_ingested_total',
      help: 'NARs on their way in that came to an end: stored, streamed (handed on and not kept) or failed',
      labels: ['result'],
    },
    () => ingestResults.map((result) => [result] as const),
  )
  const storeFailures = counter(
    registry,
    {
      name: 'weir_store_failures_total',
      help: 'NARs that could not be kept, by the system’s code',
      labels: ['code'],
    },
    () => storeFailureCodes.map((code) => [code] as const),
  )
  const evictions = plainCounter(registry, 'weir_cache_evictions_total', 'NARs evicted')
  const evicted = plainCounter(
    registry,
    'weir_cache_evicted_bytes_total',
    'Bytes of NAR files evicted',
  )
  const wrong = counter(
    registry,
    {
      name: 'weir_verify_failures_total',
      help: 'Stored NARs that turned out wrong when they were verified again, by finding',
      labels: ['finding'],
    },
    () => verifyFindings.map((finding) => [finding] as const),
  )
  return {
    narIngested(result) {
      ingested.add([result])
    },
    storeFailed(code) {
      storeFailures.add([code])
    },
    narEvicted(bytes) {
      evictions.add([])
      evicted.add([], bytes)
    },
    verifyFailed(finding) {
      wrong.add([finding])
    },
  }
}
