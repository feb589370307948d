import { fingerprint } from '../src/nix/fingerprint.ts'
import { formatNarinfo, type Narinfo } from '../src/nix/narinfo.ts'
import { type SecretKey, sign } from '../src/nix/signature.ts'
import { parseStoreDir, type StoreDir } from '../src/nix/store-path.ts'

/** Where the clients of all benches keep their paths. */
export const storeDir: StoreDir = knownStoreDir()

/** What a bench says of a path that it made. */
export type MadePath = Pick<
  Narinfo,
  | 'storePath'
  | 'references'
  | 'url'
  | 'compression'
  | 'fileHash'
  | 'fileSize'
  | 'narHash'
  | 'narSize'
>

/** A narinfo as text, signed. */
export function signedNarinfo(path: MadePath, key: SecretKey): string {
  const signatures = [sign(key, fingerprint(path, storeDir))]
  const rest = { deriver: null, malformedSignatures: [], ca: null, unknownFields: [] }
  return formatNarinfo({ ...path, ...rest, signatures }, storeDir)
}

function knownStoreDir(): StoreDir {
  const dir = parseStoreDir('/nix/store')
  if (dir === null) throw new TypeError('/nix/store is no store directory')
  return dir
}
