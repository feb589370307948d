import { randomUUID } from 'node:crypto'
import type { DecodableCompression } from '../nix/compression.ts'

const formatVersion = 1

/** The ETag of a NAR's file that Weir makes: everything that its bytes depend on. */
export function madeEtag(
  narHash: string,
  compression: DecodableCompression,
  zstdLevel: number,
): string {
  const hash = narHash.slice(narHash.indexOf(':') + 1)
  const { zlib, brotli, zstd = '' } = process.versions
  const encoder = {
    none: '',
    xz: '-0',
    zstd: `${zstd}-${zstdLevel}`,
    br: `${brotli}-1`,
    gzip: `${zlib}-1`,
    bzip2: '',
  }[compression]
  return `"${hash}-${compression}${encoder}-${formatVersion}"`
}

/** The ETag of a file that is kept as it came. */
export function keptEtag(fileHash: string): string {
  return `"${fileHash.slice(fileHash.indexOf(':') + 1)}"`
}

/** The ETag of a file that is handed out before anything is known that names it: no other one has it. */
export function uniqueEtag(): string {
  return `"${randomUUID()}"`
}
