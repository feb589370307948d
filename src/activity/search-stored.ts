import { narFileName, parseNarFileName } from '../nix/nar-key.ts'
import { parseBaseName, parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { matchesGlob } from '../policy/glob.ts'
import { packageOf } from '../policy/package-name.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import { recordPages } from '../upkeep/record-pages.ts'
import { baseNameOf, narBytesOf } from '../upkeep/stored-name.ts'
import type { PathQuery, StoredPath, StoredPaths } from './activity.ts'

/** The stored paths that a query means, in the order of their hashes; none after what no answer has as its `next`. */
export async function searchStored(
  catalog: Pick<Catalog, 'find' | 'page'>,
  { text, after, limit }: PathQuery,
  signal: AbortSignal,
): Promise<StoredPaths> {
  const from = after === null ? null : parseNarFileName(after)
  if (after !== null && from === null) return { paths: [], next: null }
  const hash = hashIn(text)
  if (hash !== null) {
    const found = await catalog.find(hash)
    return { paths: from === null ? found.map(storedPath) : [], next: null }
  }
  const matches = matcherOf(text)
  const paths: StoredPath[] = []
  let next: string | null = null
  for await (const page of recordPages(catalog, signal, from)) {
    for (const stored of page) {
      if (!matches(baseNameOf(stored) ?? '')) continue
      if (paths.length === limit) return { paths, next }
      paths.push(storedPath(stored))
      next = narFileName(stored.key)
    }
  }
  return { paths, next: null }
}

/** The hash where one path is meant: a hash, a `<hash>-<name>`, or a whole store path. */
function hashIn(text: string): StorePathHash | null {
  const last = text.slice(text.lastIndexOf('/') + 1)
  return parseStorePathHash(last) ?? parseBaseName(last)?.hash ?? null
}

const hashLength = 32

/** Whether a `<hash>-<name>` is meant: by a glob over the name, else by what the name contains. */
function matcherOf(text: string): (baseName: string) => boolean {
  if (text === '') return () => true
  const isGlob = /[*?]/.test(text)
  return (baseName) => {
    const name = baseName.slice(hashLength + 1)
    return isGlob ? matchesGlob(text, name) : name.includes(text)
  }
}

function storedPath(stored: StoredNar): StoredPath {
  const { key, upstream, witnesses, diskBytes, storedAtMs, usedAtMs } = stored
  const path = baseNameOf(stored) ?? key.storePathHash
  return {
    ...{ hash: key.storePathHash, path, package: packageOf(path.slice(hashLength + 1)) },
    ...{ diskBytes, narSize: narBytesOf(stored) ?? 0, compression: key.compression },
    ...{ storedAtMs, usedAtMs },
    upstreams: [upstream, ...witnesses.map((witness) => witness.upstream)],
  }
}
