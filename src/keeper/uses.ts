import { setImmediate } from 'node:timers/promises'
import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'

/** The uses of NARs, written down in batches: each is one line of the catalog. */
export type Uses = {
  readonly note: (key: NarFileKey) => void
  /** Writes what is not written yet. */
  readonly write: () => Promise<void>
}

export type UsesDeps = { readonly catalog: Catalog; readonly clock: Clock; readonly log: Log }

const maxUnwritten = 1000
/** So many are written in one go; between two, requests are answered. */
const sliceUses = 100

export function createUses({ catalog, clock, log }: UsesDeps): Uses {
  const unwritten = new Map<string, NarFileKey>()
  const write = async (): Promise<void> => {
    const keys = [...unwritten.values()]
    unwritten.clear()
    for (let start = 0; start < keys.length; start += sliceUses) {
      if (start > 0) await setImmediate()
      await catalog.touch(keys.slice(start, start + sliceUses), clock.nowMs())
    }
  }
  return {
    note(key) {
      unwritten.set(narFileName(key), key)
      if (unwritten.size < maxUnwritten) return
      write().catch((error: unknown) => {
        log.error({ event: 'catalog.failed', err: error })
      })
    },
    write,
  }
}
