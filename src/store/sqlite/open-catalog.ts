import { rename } from 'node:fs/promises'
import type { Catalog } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { mendedCatalog } from './mended-catalog.ts'
import { openSqliteCatalog } from './sqlite-catalog.ts'
import { isDamage } from './sqlite-damage.ts'

export type OpenCatalogDeps = {
  readonly clock: Clock
  readonly log: Log
  /** The catalog turned out to be damaged while it was used, and is a new, empty one now: it is to be rebuilt. */
  readonly renewed?: () => void
}

/**
 * Opens the catalog in a file. One that is damaged, now or later, is put aside and made anew: it is derived, and is rebuilt from what
 * is stored.
 */
export async function openCatalog(file: string, deps: OpenCatalogDeps): Promise<Catalog> {
  const catalog = await openSound(file).catch(async (error: unknown) => {
    if (!isDamage(error)) throw error
    await putAside(file, error, deps)
    return openSqliteCatalog(file)
  })
  return mendedCatalog(catalog, {
    async renew(damaged, error) {
      await damaged.close().catch(() => undefined)
      await putAside(file, error, deps)
      return openSqliteCatalog(file)
    },
    renewed: () => deps.renewed?.(),
  })
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

/** Renames a damaged file, its journal too: a new file beside an old journal would be damaged at once. */
async function putAside(
  file: string,
  error: unknown,
  { clock, log }: OpenCatalogDeps,
): Promise<void> {
  const aside = `${file}.damaged-${clock.nowMs()}`
  await rename(file, aside)
  for (const end of ['-wal', '-shm']) await renameExisting(`${file}${end}`, `${aside}${end}`)
  log.error({ event: 'catalog.damaged', file, aside, err: error })
}

async function renameExisting(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
  }
}
