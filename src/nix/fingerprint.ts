/**
 * The text that a signature covers.
 *
 *   fingerprint = "1;" store path ";sha256:" nix32(NAR hash) ";" NAR size ";" references
 *   references  = full paths, each once, sorted bytewise, joined with ","
 *
 * CA, Deriver, URL, Compression and the file's hash and size are not in it: a signature says nothing about them.
 */
import { formatHash } from './hash.ts'
import type { Narinfo } from './narinfo.ts'
import { type StoreDir, type StorePath, formatStorePath } from './store-path.ts'

/** The message that a signature of this narinfo signs. */
export function fingerprint(
  narinfo: Pick<Narinfo, 'storePath' | 'narHash' | 'narSize' | 'references'>,
  storeDir: StoreDir,
): string {
  const path = formatStorePath(narinfo.storePath, storeDir)
  const references = sortedFullPaths(narinfo.references, storeDir).join(',')
  return `1;${path};${formatHash(narinfo.narHash)};${narinfo.narSize.toString()};${references}`
}

/** Store paths as full paths, each once, in bytewise order. */
export function sortedFullPaths(paths: readonly StorePath[], storeDir: StoreDir): string[] {
  const fullPaths = new Set(paths.map((path) => formatStorePath(path, storeDir)))
  // One directory and ASCII base names: the order of UTF-16 code units is that of bytes.
  return [...fullPaths].sort()
}
