import { type PublicKey } from '../nix/signature.ts'
import { quoteName } from './describe-found.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type Settings } from './settings.ts'
import { SettingsError } from './settings-error.ts'

/**
 * Throws SettingsError where a key of an upstream, or of [import], has the name of Weir's own and other bytes: a client
 * can hold only one of the two, and would take the other's signatures for forged.
 */
export function checkOwnKey(settings: Settings, own: PublicKey): void {
  const { upstreams, importKeys, signing } = settings
  const problems = [
    ...upstreams.flatMap(({ keys }, index) => sameName(keys, own, ['upstream', index, 'keys'])),
    ...sameName(importKeys, own, ['import', 'keys']),
  ].map((path) => ({
    source: 'the configuration',
    key: formatKeyPath(path),
    line: null,
    found: `${quoteName(own.name)} with other bytes than Weir's own key of that name in ${signing.keyFile}`,
    allowed:
      'the bytes of that key, as weir key show prints it, or another name for it: point signing.key_file to a new file and run weir key generate --name NAME',
    nearest: null,
  }))
  if (problems.length > 0) throw new SettingsError('invalid', problems)
}

/** Where among the keys one has the same name and other bytes. */
function sameName(keys: readonly PublicKey[], own: PublicKey, list: KeyPath): readonly KeyPath[] {
  return keys.flatMap(({ name, bytes }, position) =>
    name === own.name && Buffer.compare(bytes, own.bytes) !== 0 ? [[...list, position]] : [],
  )
}
