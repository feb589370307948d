import { Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createZstdDecompress } from 'node:zlib'
import { type Compression, type DecodableCompression, isDecodable } from '../nix/compression.ts'
import { decodeBzip2 } from './bzip2-decoder.ts'
import { BadNarError } from './bad-nar-error.ts'
import { decodeXz } from './xz-decoder.ts'
import { ZstdFrames } from './zstd-frames.ts'

type Body = AsyncIterable<Uint8Array>

const chunkSize = 256 * 1024

/** Throws a `BadNarError` for a compression that Weir does not decode: all but what Nix's own caches and Cachix use. */
export function assertDecodable(
  compression: Compression,
): asserts compression is DecodableCompression {
  if (!isDecodable(compression)) {
    throw new BadNarError('unsupported-compression', `Weir does not decode ${compression}`)
  }
}

/**
 * The NAR in a file of the given compression, in pieces, as fast as the consumer takes them. A broken encoding throws a
 * `BadNarError`; what the body throws passes through. `maxBytes` is where a bomb may be given up.
 */
export function decodeNar(compression: Compression, body: Body, maxBytes: number): Body {
  assertDecodable(compression)
  switch (compression) {
    case 'none':
      return body
    case 'xz':
      return decodeXz(body)
    case 'zstd':
      return throughStream(createZstdDecompress({ chunkSize }), wholeFrames(body))
    case 'br':
      return throughStream(createBrotliDecompress({ chunkSize }), body)
    case 'gzip':
      return throughStream(createGunzip({ chunkSize }), body)
    case 'bzip2':
      return decodeBzip2(body, maxBytes)
  }
}

/** The same bytes, cut where a zstd frame ends: no piece holds bytes of two frames. */
export async function* wholeFrames(body: Body): AsyncGenerator<Uint8Array> {
  const frames = new ZstdFrames()
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      const end = nextEnd(frames, chunk, at)
      yield chunk.subarray(at, end)
      at = end
    }
  }
  if (!frames.atBoundary) throw new BadNarError('undecodable', 'the zstd file ends inside a frame')
}

function nextEnd(frames: ZstdFrames, chunk: Uint8Array, at: number): number {
  try {
    return frames.nextEnd(chunk, at)
  } catch (error) {
    throw new BadNarError('undecodable', 'not a zstd file', { cause: error })
  }
}

async function* throughStream(decoder: Transform, body: Body): AsyncGenerator<Uint8Array> {
  const source = Readable.from(body, { objectMode: false })
  let sourceError: Error | undefined
  source.on('error', (error) => {
    sourceError = error
    decoder.destroy(error)
  })
  try {
    for await (const chunk of source.pipe(decoder)) yield chunk as Uint8Array
  } catch (error) {
    throw (
      sourceError ?? new BadNarError('undecodable', 'the NAR is not decodable', { cause: error })
    )
  } finally {
    source.destroy()
    decoder.destroy()
  }
}
