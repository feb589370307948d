import { dirname, isAbsolute, join, normalize, resolve } from 'node:path'
import { type Draft } from './draft.ts'
import { quote } from './describe-found.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type Environment } from './read-environment.ts'
import { type SettingsDocument } from './schema.ts'
import { type SettingsProblem } from './settings-error.ts'

/** The folders and files of Weir, absolute and normalised. */
export type ResolvedPaths = {
  readonly cacheDir: string
  readonly stateDir: string
  readonly keyFile: string
  /** The file that an optional key names; `null` where it names none. */
  readonly file: (path: KeyPath) => string | null
}

/** What paths depend on besides the configuration. */
export type PathSurroundings = { readonly env: Environment; readonly homeDir: string }

/** Makes the paths of a document absolute: those in a file are relative to it, others must be absolute or begin with `~/`. */
export function resolvePaths(
  document: SettingsDocument,
  draft: Draft,
  { env, homeDir }: PathSurroundings,
): { readonly paths: ResolvedPaths; readonly problems: readonly SettingsProblem[] } {
  const problems: SettingsProblem[] = []
  const absolute = (path: KeyPath, written: string) => {
    const file = draft.fileOf(path)
    const expanded = /^~(?:\/|$)/.test(written) ? `${homeDir || '~'}${written.slice(1)}` : written
    if (isAbsolute(expanded)) return withoutTrailingSlash(normalize(expanded))
    if (file !== null && !expanded.startsWith('~')) return resolve(dirname(file), expanded)
    const unknownHome = written.startsWith('~')
    problems.push({
      ...draft.placeOf(path),
      found: unknownHome ? `${quote(written)}, and HOME is not set` : quote(written),
      allowed: unknownHome ? 'an absolute path' : 'a path that is absolute or begins with ~/',
      nearest: null,
    })
    return expanded
  }
  const cacheDir = document.cache.dir ?? xdgDir(env['XDG_CACHE_HOME'], '~/.cache')
  const stateDir = document.state.dir ?? xdgDir(env['XDG_STATE_HOME'], '~/.local/state')
  const resolvedState = absolute(['state', 'dir'], stateDir)
  const { key_file: keyFile } = document.signing
  const files = new Map(
    filesNamedIn(document).map(([path, written]) => [formatKeyPath(path), absolute(path, written)]),
  )
  const paths = {
    cacheDir: absolute(['cache', 'dir'], cacheDir),
    stateDir: resolvedState,
    keyFile:
      keyFile === undefined
        ? join(resolvedState, 'signing-key')
        : absolute(['signing', 'key_file'], keyFile),
    file: (path: KeyPath) => files.get(formatKeyPath(path)) ?? null,
  }
  return { paths, problems }
}

/** Keys that name a file, and what was written. */
function filesNamedIn({ network, upstream }: SettingsDocument): (readonly [KeyPath, string])[] {
  const written: (readonly [KeyPath, string | undefined])[] = [
    [['network', 'ca_file'], network.ca_file],
    [['network', 'netrc_file'], network.netrc_file],
    ...upstream.flatMap((each, index) => {
      const { token_file, password_file, ca_file, certificate_file, certificate_key_file } = each
      const files = { token_file, password_file, ca_file, certificate_file, certificate_key_file }
      return Object.entries(files).map(([key, path]) => [['upstream', index, key], path] as const)
    }),
  ]
  return written.flatMap(([path, text]) => (text === undefined ? [] : [[path, text] as const]))
}

/** The specification of XDG folders has relative ones ignored. */
function xdgDir(base: string | undefined, fallback: string): string {
  return join(base !== undefined && isAbsolute(base) ? base : fallback, 'weir')
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}
