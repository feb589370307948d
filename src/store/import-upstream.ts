import type { NarStore } from '../ports/nar-store.ts'
import type { Upstream } from '../ports/upstream.ts'
import { withoutRecord } from './sealed-record.ts'

/**
 * The upstream `import`: what stored narinfos say of NARs that lie in the store without a record, because the catalog was lost or a
 * bundle was unpacked. It has claims, and no files to fetch: a NAR that is there is taken up, not fetched.
 */
export function createImportUpstream(store: Pick<NarStore, 'describe'>): Upstream {
  return {
    name: 'import',
    cacheInfo: () => Promise.resolve(null),
    async narinfo(hash) {
      // A record that Weir wrote into it is no part of what is claimed.
      const described = await store.describe(hash)
      return described && Buffer.from(withoutRecord(Buffer.from(described).toString()))
    },
    nar: () => Promise.resolve(null),
    buildLog: () => Promise.resolve(null),
    realisation: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  }
}
