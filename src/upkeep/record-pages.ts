import { setImmediate } from 'node:timers/promises'
import type { NarFileKey } from '../nix/nar-key.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'

/** So few that reading and parsing them holds nobody up for more than some milliseconds. */
const pageSize = 100

/** Everything that is recorded, page by page, in the order of the paths' hashes; requests go between. */
export async function* recordPages(
  catalog: Pick<Catalog, 'page'>,
  signal: AbortSignal,
): AsyncGenerator<readonly StoredNar[]> {
  let after: NarFileKey | null = null
  for (;;) {
    signal.throwIfAborted()
    const page: readonly StoredNar[] = await catalog.page(after, pageSize)
    yield page
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return
    after = last.key
    await setImmediate()
  }
}
