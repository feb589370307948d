import { relative } from 'node:path'
import { checkAccess } from './access-checks.ts'
import { checkBlockPaths } from './block-field.ts'
import { type Conflict } from './conflict.ts'
import { quote } from './describe-found.ts'
import { type Draft } from './draft.ts'
import { inRule } from './in-rule.ts'
import { checkKeys } from './key-checks.ts'
import { formatKeyPath } from './key-path.ts'
import { type ResolvedPaths } from './resolve-paths.ts'
import { checkRules } from './rule-checks.ts'
import { type SettingsDocument } from './schema.ts'
import { type SettingsProblem } from './settings-error.ts'

/** Paths are shown whole, since two that differ only at their ends would look the same. */
const MAX_PATH = 4096

/** Everything that is wrong with a document as a whole, where each key by itself is fine. */
export function crossCheck(
  document: SettingsDocument,
  paths: ResolvedPaths,
  draft: Draft,
): readonly SettingsProblem[] {
  const conflicts = [
    ...checkUpstreams(document),
    ...checkAccess(document),
    ...checkKeys(document, draft),
    ...checkEnforcement(document),
    ...checkRules(document),
    ...checkBlockPaths(document.block, document.server.store_dir),
    ...checkFolders(paths, draft),
  ]
  return conflicts.map(({ path, found, allowed, nearest = null }) => ({
    ...draft.placeOf(path),
    found: inRule(found, path, draft.document),
    allowed,
    nearest,
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

/** Weir's signature says that the rules were kept: where they are not, no client may have to rely on it alone. */
function checkEnforcement({ policy, signing }: SettingsDocument): readonly Conflict[] {
  if (policy.enforce || signing.mode !== 'replace') return []
  const found = 'false, while signing.mode is "replace"'
  const allowed =
    'true, or signing.mode "add" or "keep": Weir signs nothing that it only reports on'
  return [{ path: ['policy', 'enforce'], found, allowed }]
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
