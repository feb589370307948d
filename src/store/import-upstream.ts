import type { NarStore } from '../ports/nar-store.ts'
import type { Upstream } from '../ports/upstream.ts'

/**
 * The upstream `import`: what stored narinfos say of NARs that lie in the store without a record, because the catalog was lost or a
 * bundle was unpacked. It has claims, and no files to fetch: a NAR that is there is taken up, not fetched.
 */
export function createImportUpstream(store: Pick<NarStore, 'describe'>): Upstream {
  return {
    name: 'import',
    cacheInfo: () => Promise.resolve(null),
    narinfo: (hash) => store.describe(hash),
    nar: () => Promise.resolve(null),
    buildLog: () => Promise.resolve(null),
    realisation: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  }
}
