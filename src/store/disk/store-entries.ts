import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseNarFileName } from '../../nix/nar-key.ts'
import { parseStorePathHash, type StorePathHash } from '../../nix/store-path.ts'
import type { StoreEntry } from '../../ports/nar-store.ts'
import { describedFile } from '../../nix/described-file.ts'
import { readExisting } from './disk-files.ts'

/** What belongs to the store besides NARs and narinfos. */
const own = new Set(['nar', 'nix-cache-info', '.partial', '.weir-lock', '.weir-lock-journal'])

/** The store path hash in a narinfo's file name; `null` for any other name. */
export function narinfoFileHash(name: string): StorePathHash | null {
  return name.endsWith('.narinfo') ? parseStorePathHash(name.slice(0, -'.narinfo'.length)) : null
}

/** Everything in a store's folder, as it is read: names are never all in memory. */
export async function* storeEntries(dir: string): AsyncGenerator<StoreEntry> {
  for await (const { name } of await opendir(join(dir, 'nar'))) {
    const key = parseNarFileName(name)
    yield key === null ? { kind: 'other', path: join('nar', name) } : { kind: 'nar', key }
  }
  for await (const { name } of await opendir(dir)) {
    const hash = narinfoFileHash(name)
    if (hash !== null) {
      const narinfo = await readExisting(join(dir, name)).catch(() => null)
      if (narinfo !== null) yield { kind: 'narinfo', hash, describes: describedFile(narinfo) }
    } else if (name === 'quarantine') {
      for await (const aside of await opendir(join(dir, name))) {
        yield { kind: 'other', path: join(name, aside.name) }
      }
    } else if (!own.has(name)) {
      yield { kind: 'other', path: name }
    }
  }
}
