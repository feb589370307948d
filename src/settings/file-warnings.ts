import { stat } from 'node:fs/promises'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type Settings } from './settings.ts'

type NamedFile = { readonly key: KeyPath; readonly path: string; readonly isSecret: boolean }

/** Files that the configuration names, and that are missing or readable by others; a sentence each. They are not read. */
export async function findFileWarnings(settings: Settings): Promise<readonly string[]> {
  const warnings = await Promise.all(namedFiles(settings).map((file) => warningOf(file)))
  return warnings.filter((warning) => warning !== null)
}

async function warningOf({ key, path, isSecret }: NamedFile): Promise<string | null> {
  const name = `${formatKeyPath(key)} ${path}`
  try {
    const stats = await stat(path)
    if (!stats.isFile()) return `${name}: it is no file.`
    // Its group may well be Weir's own.
    const isOpen = isSecret && (stats.mode & 0o004) !== 0
    return isOpen ? `${name}: every user of this machine may read it: chmod o-r it.` : null
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR'
    const what = isMissing ? 'there is no such file' : `it cannot be looked at (${code})`
    return `${name}: ${what}; what needs it fails until it is there.`
  }
}

function namedFiles({ network, upstreams }: Settings): readonly NamedFile[] {
  const named = (key: KeyPath, path: string | null, isSecret: boolean): readonly NamedFile[] =>
    path === null ? [] : [{ key, path, isSecret }]
  return [
    ...named(['network', 'ca_file'], network.caFile, false),
    ...named(['network', 'netrc_file'], network.netrcFile, true),
    ...upstreams.flatMap(({ credentials, tls }, index) => {
      const at = (key: string): KeyPath => ['upstream', index, key]
      return [
        ...named(at('token_file'), credentials.tokenFile, true),
        ...named(at('password_file'), credentials.passwordFile, true),
        ...credentials.headers.flatMap(({ name, parts }) =>
          parts.flatMap((part) =>
            part.kind === 'file' ? named([...at('headers'), name], part.path, true) : [],
          ),
        ),
        ...named(at('ca_file'), tls.caFile, false),
        ...named(at('certificate_file'), tls.certificateFile, false),
        ...named(at('certificate_key_file'), tls.certificateKeyFile, true),
      ]
    }),
  ]
}
