import { setImmediate } from 'node:timers/promises'
import { parseBaseName, parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { matchesGlob } from '../policy/glob.ts'
import { packageOf } from '../policy/package-name.ts'
import type { Catalog, StoredNar } from '../ports/catalog.ts'
import { baseNameOf, narBytesOf } from '../upkeep/stored-name.ts'
import type { PathQuery, StoredPath, StoredPaths } from './activity.ts'

/** So few that looking at them holds nobody up for more than some milliseconds. */
const span = 500
/** So many are looked at for one answer, within a second or two; who wants more asks on. */
const mostSpans = 400
const hashLength = 32

/** The stored paths that a query means, those recorded last first. There may be fewer than `limit` although more follow. */
export async function searchStored(
  catalog: Pick<Catalog, 'find' | 'search'>,
  { text, after, limit }: PathQuery,
  signal: AbortSignal,
): Promise<StoredPaths> {
  const hash = hashIn(text)
  if (hash !== null) {
    const found = after === null ? await catalog.find(hash) : []
    return { paths: found.map(storedPath), next: null }
  }
  const matches = matcherOf(text)
  const paths: StoredPath[] = []
  let before = placeOf(after)
  for (let spans = 0; spans < mostSpans; spans += 1) {
    signal.throwIfAborted()
    const { found, next } = await catalog.search({ text: literalOf(text), before, span })
    for (const { place, stored } of found) {
      if (!matches(baseNameOf(stored) ?? '')) continue
      paths.push(storedPath(stored))
      if (paths.length === limit) return { paths, next: String(place) }
    }
    if (next === null) return { paths, next: null }
    before = next
    // Requests go first.
    await setImmediate()
  }
  return { paths, next: before === null ? null : String(before) }
}

/** Whether a text is the `next` of an answer, by its form. */
export function isPlace(text: string): boolean {
  return /^\d{1,15}$/.test(text)
}

function placeOf(after: string | null): number | null {
  if (after === null) return null
  // Nothing comes after what is no place.
  return isPlace(after) ? Number(after) : 0
}

/** The hash where one path is meant: a hash, a `<hash>-<name>`, or a whole store path. */
function hashIn(text: string): StorePathHash | null {
  const last = text.slice(text.lastIndexOf('/') + 1)
  return parseStorePathHash(last) ?? parseBaseName(last)?.hash ?? null
}

/** Whether a `<hash>-<name>` is meant: by a glob over the name, else by what the name contains. */
function matcherOf(text: string): (baseName: string) => boolean {
  if (text === '') return () => true
  const isGlob = /[*?]/.test(text)
  return (baseName) => {
    const name = baseName.slice(hashLength + 1)
    return isGlob ? matchesGlob(text, name) : name.includes(text)
  }
}

/** What every name has in it that a text means: the longest part of a glob. */
function literalOf(text: string): string {
  const parts = text.split(/[*?]/)
  return parts.reduce((longest, part) => (part.length > longest.length ? part : longest), '')
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
