import { minFreeBytes } from './settings/min-free.ts'
import type { Settings } from './settings/settings.ts'
import type { CacheLimits } from './keeper/cache-limits.ts'

/** What the cache may take by these settings. */
export function cacheLimits({ cache }: Settings): CacheLimits {
  return {
    maxBytes: cache.maxBytes,
    lowWatermark: cache.lowWatermark,
    minFreeBytes: (totalBytes) => minFreeBytes(cache.minFree, totalBytes),
  }
}
