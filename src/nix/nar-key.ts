import type { DecodableCompression } from './compression.ts'
import { decodeNix32 } from './nix32.ts'
import { parseStorePathHash, type StorePathHash } from './store-path.ts'

/** A NAR: a store path's hash, and its NarHash as 52 nix32 characters of sha256. */
export type NarKey = {
  readonly storePathHash: StorePathHash
  readonly narHash: string
}

/** One representation of a NAR: the file that Weir keeps and hands out. */
export type NarFileKey = NarKey & { readonly compression: DecodableCompression }

/** Weir names its own files, so that each compression has an ending of its own: upstreams write gzip as `.nar`, too. */
const endings: Readonly<Record<DecodableCompression, string>> = {
  none: '',
  xz: '.xz',
  zstd: '.zst',
  br: '.br',
  gzip: '.gz',
  bzip2: '.bz2',
}

const compressionByEnding = new Map(
  Object.entries(endings).map(([name, ending]) => [ending, name as DecodableCompression]),
)

/** The name of a NAR's file: `<hash>-<NarHash>.nar.zst` and the like. The same in URLs and in the cache folder. */
export function narFileName(key: NarFileKey): string {
  return `${narName(key)}.nar${endings[key.compression]}`
}

/** A NAR's name whatever its representation: `<hash>-<NarHash>`. */
export function narName({ storePathHash, narHash }: NarKey): string {
  return `${storePathHash}-${narHash}`
}

/** The key in a NAR's file name; `null` for any other name. */
export function parseNarFileName(name: string): NarFileKey | null {
  const match = /^([0-9a-z]{32})-([0-9a-z]{52})\.nar((?:\.[a-z0-9]+)?)$/.exec(name)
  if (match === null) return null
  const [, hash = '', narHash = '', ending = ''] = match
  const storePathHash = parseStorePathHash(hash)
  const compression = compressionByEnding.get(ending)
  if (storePathHash === null || compression === undefined || decodeNix32(narHash) === null) {
    return null
  }
  return { storePathHash, narHash, compression }
}

/** Whether two keys name one NAR. */
export function isSameNar(one: NarKey, other: NarKey): boolean {
  return one.storePathHash === other.storePathHash && one.narHash === other.narHash
}

/** Whether two keys name one file. */
export function isSameFile(one: NarFileKey, other: NarFileKey): boolean {
  return isSameNar(one, other) && one.compression === other.compression
}
