import { constants, createZstdCompress, type ZstdCompress } from 'node:zlib'

/** node:zlib's zstd output depends on the sizes of its writes; in exact pieces of this size it is the same every time. */
export const encoderPieceBytes = 256 * 1024

const formatVersion = 1

/** The ETag of a NAR that Weir encodes: everything that its bytes depend on. */
export function recodedEtag(narHash: string, level: number): string {
  const hash = narHash.slice(narHash.indexOf(':') + 1)
  return `"${hash}-zstd${process.versions['zstd'] ?? ''}-${level}-${formatVersion}"`
}

/** The ETag of a zstd file that is kept as it came. */
export function passedEtag(fileHash: string): string {
  return `"${fileHash.slice(fileHash.indexOf(':') + 1)}"`
}

/** The encoder of `recodedEtag`'s representation, for exactly `narSize` bytes. */
export function createEncoder(level: number, narSize: number): ZstdCompress {
  return createZstdCompress({
    chunkSize: encoderPieceBytes,
    pledgedSrcSize: narSize,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  })
}
