import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib'
import type { DecodableCompression } from '../nix/compression.ts'
import { BadNarError } from './bad-nar-error.ts'
import { PushStream } from './push-stream.ts'
import { createXzEncoder } from './xz-encoder.ts'

/** Compresses a file that is given in pieces; what it makes has been given on when `write` or `end` resolves. */
export type Encoder = Disposable & {
  write(piece: Uint8Array): Promise<void>
  /** Ends the file. */
  end(): Promise<void>
}

/** node:zlib's output depends on the sizes of its writes; in exact pieces of this size it is the same every time. */
export const encoderPieceBytes = 256 * 1024

/**
 * The encoder of a NAR's file in a compression. zstd is what Weir keeps; the others are made where a client still has a URL of the
 * other `[nar] encoding`, and no upstream has such a file: they are made fast rather than small. Nothing makes bzip2.
 */
export async function createEncoder(
  compression: DecodableCompression,
  {
    narSize,
    zstdLevel,
    onOutput,
  }: {
    /** Bytes: exactly so many will be written. */
    readonly narSize: number
    readonly zstdLevel: number
    readonly onOutput: (chunk: Uint8Array) => void
  },
): Promise<Encoder> {
  switch (compression) {
    case 'zstd':
      return new PushStream(createZstdEncoder(zstdLevel, narSize), onOutput)
    case 'none':
      return plainEncoder(onOutput)
    case 'gzip':
      return new PushStream(createGzip({ level: 1, chunkSize: encoderPieceBytes }), onOutput)
    case 'br': {
      const params = { [constants.BROTLI_PARAM_QUALITY]: 1 }
      return new PushStream(
        createBrotliCompress({ params, chunkSize: encoderPieceBytes }),
        onOutput,
      )
    }
    case 'xz':
      return createXzEncoder(onOutput)
    case 'bzip2':
      throw new BadNarError('not-made', 'Weir makes no bzip2 files')
  }
}

function createZstdEncoder(level: number, narSize: number) {
  return createZstdCompress({
    chunkSize: encoderPieceBytes,
    pledgedSrcSize: narSize,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  })
}

function plainEncoder(onOutput: (chunk: Uint8Array) => void): Encoder {
  return {
    write: (piece) => {
      onOutput(piece)
      return Promise.resolve()
    },
    end: () => Promise.resolve(),
    [Symbol.dispose]: () => undefined,
  }
}
