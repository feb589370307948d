import type { Catalog } from '../ports/catalog.ts'
import { createFairQueue } from '../queue/fair-queue.ts'
import type { PathQuery, StoredPaths } from './activity.ts'
import { searchStored } from './search-stored.ts'

/** Searches what is stored, one at a time and in turn for each client: each takes the catalog's time, and nobody waits for all of another's. */
export type Searches = (
  query: PathQuery,
  signal: AbortSignal,
  client?: string,
) => Promise<StoredPaths>

export function createSearches(catalog: Pick<Catalog, 'find' | 'search'>): Searches {
  const queue = createFairQueue({ places: 1 })
  return (query, signal, client = '') =>
    queue.run(
      { client, group: null },
      () => searchStored(catalog, query, signal),
      () => signal,
    )
}
