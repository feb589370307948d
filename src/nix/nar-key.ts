import { decodeNix32 } from './nix32.ts'
import { parseStorePathHash, type StorePathHash } from './store-path.ts'

/** A NAR that Weir hands out: a store path's hash, and its NarHash as 52 nix32 characters of sha256. */
export type NarKey = {
  readonly storePathHash: StorePathHash
  readonly narHash: string
}

/** The file name of a NAR's zstd representation: `<hash>-<NarHash>.nar.zst`. The same in URLs and in the cache folder. */
export function narFileName(key: NarKey): string {
  return `${key.storePathHash}-${key.narHash}.nar.zst`
}

/** The key in a NAR's file name; `null` for any other name. */
export function parseNarFileName(name: string): NarKey | null {
  const match = /^([0-9a-z]{32})-([0-9a-z]{52})\.nar\.zst$/.exec(name)
  if (match === null) return null
  const storePathHash = parseStorePathHash(match[1] ?? '')
  const narHash = match[2] ?? ''
  if (storePathHash === null || decodeNix32(narHash) === null) return null
  return { storePathHash, narHash }
}

/** Whether two keys name one NAR. */
export function isSameNar(one: NarKey, other: NarKey): boolean {
  return one.storePathHash === other.storePathHash && one.narHash === other.narHash
}
