import { relative } from 'node:path'
import { quote } from './describe-found.ts'
import { type Draft } from './draft.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type ResolvedPaths } from './resolve-paths.ts'
import { type SettingsDocument } from './schema.ts'
import { type SettingsProblem } from './settings-error.ts'

/** Paths are shown whole, since two that differ only at their ends would look the same. */
const MAX_PATH = 4096

/** A mistake that no key has by itself. */
type Conflict = { readonly path: KeyPath; readonly found: string; readonly allowed: string }

/** Everything that is wrong with a document as a whole, where each key by itself is fine. */
export function crossCheck(
  document: SettingsDocument,
  paths: ResolvedPaths,
  draft: Draft,
): readonly SettingsProblem[] {
  const conflicts = [
    ...checkUpstreams(document),
    ...checkKeys(document, draft),
    ...checkFolders(paths, draft),
  ]
  return conflicts.map(({ path, found, allowed }) => ({
    ...draft.placeOf(path),
    found,
    allowed,
    nearest: null,
  }))
}

function checkUpstreams({ upstream }: SettingsDocument): readonly Conflict[] {
  const conflicts: Conflict[] = []
  const names = new Map([['import', 'reserved for paths that came without an upstream']])
  const urls = new Map<string, string>()
  for (const [index, { name, url }] of upstream.entries()) {
    const place = formatKeyPath(['upstream', index])
    const sameName = names.get(name)
    if (sameName !== undefined) {
      const found = `${quote(name)}, which is ${sameName}`
      conflicts.push({ path: ['upstream', index, 'name'], found, allowed: 'a name of its own' })
    }
    const sameUrl = urls.get(url)
    if (sameUrl !== undefined) {
      const found = `${quote(url)}, which is ${sameUrl}`
      conflicts.push({ path: ['upstream', index, 'url'], found, allowed: 'each URL once' })
    }
    if (sameName === undefined) names.set(name, `the name of ${place}`)
    if (sameUrl === undefined) urls.set(url, `the URL of ${place}`)
  }
  return conflicts
}

/** A key's name is what people and Nix know it by: it must stand for the same bytes everywhere. */
function checkKeys({ upstream }: SettingsDocument, draft: Draft): readonly Conflict[] {
  const conflicts: Conflict[] = []
  const first = new Map<string, { readonly path: KeyPath; readonly bytes: Uint8Array }>()
  for (const [index, { keys }] of upstream.entries()) {
    for (const [position, { name, bytes }] of keys.entries()) {
      const path = ['upstream', index, 'keys', position]
      const known = first.get(name)
      if (known === undefined) {
        first.set(name, { path, bytes })
      } else if (Buffer.compare(known.bytes, bytes) !== 0) {
        const line = draft.placeOf(known.path).line
        const where = `${formatKeyPath(known.path)}${line === null ? '' : ` (line ${line})`}`
        const found = `${quote(name)} with other bytes than in ${where}`
        conflicts.push({ path, found, allowed: 'one key for each name; find out which is genuine' })
      }
    }
  }
  return conflicts
}

function checkFolders(
  { cacheDir, stateDir, keyFile }: ResolvedPaths,
  draft: Draft,
): readonly Conflict[] {
  const conflicts: Conflict[] = []
  if (isWithin(cacheDir, stateDir) || isWithin(stateDir, cacheDir)) {
    const path = draft.has(['state', 'dir']) ? ['state', 'dir'] : ['cache', 'dir']
    const found = `cache.dir ${quote(cacheDir, MAX_PATH)} and state.dir ${quote(stateDir, MAX_PATH)}`
    conflicts.push({ path, found, allowed: 'two folders, neither of them inside the other' })
  } else if (isWithin(keyFile, cacheDir)) {
    const found = `${quote(keyFile, MAX_PATH)}, which is inside cache.dir`
    const allowed = 'a file outside of the cache, which others may copy'
    conflicts.push({ path: ['signing', 'key_file'], found, allowed })
  }
  return conflicts
}

function isWithin(path: string, folder: string): boolean {
  return !/^\.\.(?:\/|$)/.test(relative(folder, path))
}
