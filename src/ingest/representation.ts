import { randomUUID } from 'node:crypto'
import type { DecodableCompression } from '../nix/compression.ts'
import { lzmaVersion } from './lzma-coder.ts'

const formatVersion = 1

/** The ETag of a NAR's file that Weir makes: everything that its bytes depend on. For xz, its encoder was loaded. */
export function madeEtag(
  narHash: string,
  compression: DecodableCompression,
  zstdLevel: number,
): string {
  const hash = narHash.slice(narHash.indexOf(':') + 1)
  return `"${hash}-${compression}${encoderOf(compression, zstdLevel)}-${formatVersion}"`
}

function encoderOf(compression: DecodableCompression, zstdLevel: number): string {
  const { zlib, brotli, zstd = '' } = process.versions
  switch (compression) {
    case 'zstd':
      return `${zstd}-${zstdLevel}`
    case 'xz':
      return `${lzmaVersion()}-0`
    case 'br':
      return `${brotli}-1`
    case 'gzip':
      return `${zlib}-1`
    case 'none':
    case 'bzip2':
      return ''
  }
}

/** The ETag of a file that is kept as it came. */
export function keptEtag(fileHash: string): string {
  return `"${fileHash.slice(fileHash.indexOf(':') + 1)}"`
}

/** The ETag of a file that is handed out before anything is known that names it: no other one has it. */
export function uniqueEtag(): string {
  return `"${randomUUID()}"`
}
