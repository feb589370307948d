import type { Catalog } from '../../ports/catalog.ts'
import { isCorruption } from './sqlite-damage.ts'

export type MendDeps = {
  /** Closes a catalog whose file is damaged, and gives a new, empty one. */
  readonly renew: (damaged: Catalog, error: unknown) => Promise<Catalog>
  /** Told after the catalog was renewed. */
  readonly renewed: () => void
}

/**
 * A catalog that takes another one's place as soon as that turns out to be damaged: what was asked is asked of the new one. Where there
 * can be none, the error is thrown, and the next call tries again.
 */
export function mendedCatalog(initial: Catalog, { renew, renewed }: MendDeps): Catalog {
  let current = initial
  let renewing: Promise<void> | null = null

  const replace = async (damaged: Catalog, error: unknown): Promise<void> => {
    if (damaged !== current) return
    renewing ??= renew(damaged, error)
      .then((next) => {
        current = next
        renewed()
      })
      .finally(() => {
        renewing = null
      })
    await renewing
  }
  const on = async <T>(act: (catalog: Catalog) => Promise<T>): Promise<T> => {
    await renewing
    const catalog = current
    try {
      return await act(catalog)
    } catch (error) {
      if (!isCorruption(error)) throw error
      await replace(catalog, error)
      return await act(current)
    }
  }
  return {
    find: (hash) => on((catalog) => catalog.find(hash)),
    put: (stored) => on((catalog) => catalog.put(stored)),
    putMissing: (stored) => on((catalog) => catalog.putMissing(stored)),
    touch: (keys, usedAtMs) => on((catalog) => catalog.touch(keys, usedAtMs)),
    remove: (key) => on((catalog) => catalog.remove(key)),
    totals: () => on((catalog) => catalog.totals()),
    leastRecentlyUsed: (limit, after) => on((catalog) => catalog.leastRecentlyUsed(limit, after)),
    page: (after, limit) => on((catalog) => catalog.page(after, limit)),
    search: (search) => on((catalog) => catalog.search(search)),
    isRebuildDue: () => on((catalog) => catalog.isRebuildDue()),
    rebuilt: () => on((catalog) => catalog.rebuilt()),
    async close() {
      await renewing?.catch(() => undefined)
      await current.close()
    },
  }
}
