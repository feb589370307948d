import { type PublicKey } from '../nix/signature.ts'
import { type Conflict } from './conflict.ts'
import { quoteName } from './describe-found.ts'
import { type Draft } from './draft.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type SettingsDocument } from './schema.ts'

/** A key, and where it was written. */
type PlacedKey = { readonly path: KeyPath; readonly key: PublicKey }

/** A key's name is what people and Nix know it by: it must stand for the same bytes everywhere. */
export function checkKeys(document: SettingsDocument, draft: Draft): readonly Conflict[] {
  const conflicts: Conflict[] = []
  const first = new Map<string, PlacedKey>()
  for (const { path, key } of listKeys(document)) {
    const known = first.get(key.name)
    if (known === undefined) {
      first.set(key.name, { path, key })
    } else if (Buffer.compare(known.key.bytes, key.bytes) !== 0) {
      const line = draft.placeOf(known.path).line
      const where = `${formatKeyPath(known.path)}${line === null ? '' : ` (line ${line})`}`
      const found = `${quoteName(key.name)} with other bytes than in ${where}`
      conflicts.push({ path, found, allowed: 'one key for each name; find out which is genuine' })
    }
  }
  return conflicts
}

/** The keys that rules may name: those of the upstreams and of [import]. */
export function keysByName(document: SettingsDocument): ReadonlyMap<string, PublicKey> {
  return new Map(listKeys(document).map(({ key }) => [key.name, key]))
}

/** Blocked keys are not among them: what they are called does not matter. */
function listKeys({ upstream, import: imported }: SettingsDocument): readonly PlacedKey[] {
  const ofUpstreams = upstream.flatMap(({ keys }, index) =>
    keys.map((key, position) => ({ path: ['upstream', index, 'keys', position], key })),
  )
  const ofImport = imported.keys.map((key, position) => ({
    path: ['import', 'keys', position],
    key,
  }))
  return [...ofUpstreams, ...ofImport]
}
