import type { DecodableCompression } from '../nix/compression.ts'
import { narFileName } from '../nix/nar-key.ts'
import type { Catalog } from '../ports/catalog.ts'
import { recordPages } from './record-pages.ts'
import { type PathSelection, selects } from './select-paths.ts'
import { baseNameOf, narBytesOf } from './stored-name.ts'

/** One stored NAR; bytes, and milliseconds since the Unix epoch. */
export type ListedNar = {
  /** `<hash>-<name>`, or the file's name where its claim does not say. */
  readonly path: string
  readonly upstream: string
  readonly compression: DecodableCompression
  readonly fileBytes: number
  /** Before compression; `null` where its claim does not say. */
  readonly narBytes: number | null
  readonly storedAtMs: number
  readonly usedAtMs: number
}

/** What is recorded of the selected paths, in the order of their hashes. */
export async function* listStored(
  catalog: Pick<Catalog, 'page'>,
  selection: PathSelection,
  signal: AbortSignal,
): AsyncGenerator<ListedNar> {
  for await (const page of recordPages(catalog, signal)) {
    for (const stored of page) {
      const path = baseNameOf(stored) ?? narFileName(stored.key)
      if (!selects(selection, path)) continue
      const { upstream, key, fileBytes, storedAtMs, usedAtMs } = stored
      yield {
        ...{ path, upstream, compression: key.compression, fileBytes },
        ...{ narBytes: narBytesOf(stored), storedAtMs, usedAtMs },
      }
    }
  }
}
