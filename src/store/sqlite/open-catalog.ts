import { rename } from 'node:fs/promises'
import type { Catalog } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { openSqliteCatalog } from './sqlite-catalog.ts'
import { isDamage } from './sqlite-damage.ts'

/**
 * Opens the catalog in a file. One that is damaged is put aside and made anew: it is derived, and what is stored is taken
 * up again when somebody asks for it.
 */
export async function openCatalog(
  file: string,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<Catalog> {
  try {
    return await openSound(file)
  } catch (error) {
    if (!isDamage(error)) throw error
    const aside = `${file}.damaged-${deps.clock.nowMs()}`
    await rename(file, aside)
    deps.log.error({ event: 'catalog.damaged', file, aside, err: error })
    return openSqliteCatalog(file)
  }
}

/** Opens it and reads its index through, which damage beyond the first page would not survive. */
async function openSound(file: string): Promise<Catalog> {
  const catalog = openSqliteCatalog(file)
  try {
    await catalog.totals()
    return catalog
  } catch (error) {
    await catalog.close()
    throw error
  }
}
