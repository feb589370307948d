import { Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createZstdDecompress } from 'node:zlib'
import { type Compression, type DecodableCompression, isDecodable } from '../nix/compression.ts'
import { decodeBzip2 } from './bzip2-decoder.ts'
import { BadNarError } from './bad-nar-error.ts'
import { PushStream, rethrowUndecodable } from './push-stream.ts'
import { decodeXz } from './xz-decoder.ts'
import { ZstdFrames } from './zstd-frames.ts'

type Body = AsyncIterable<Uint8Array>

const chunkSize = 256 * 1024
/** Pieces that are only looked at are collected sooner when they are small. */
const readChunkSize = 64 * 1024

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
 * `BadNarError`; what the body throws passes through. A piece holds until the next one is asked for. `maxBytes` is where a bomb may be given up.
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

/**
 * Decodes a file only to look at the NAR in it. The body is asked for its next chunk when all that the earlier ones made has been through
 * `onPiece`; what that throws is thrown on.
 */
export async function readNar(
  compression: Compression,
  body: Body,
  maxBytes: number,
  onPiece: (piece: Uint8Array) => void,
): Promise<void> {
  assertDecodable(compression)
  switch (compression) {
    case 'zstd':
      await push(createZstdDecompress({ chunkSize: readChunkSize }), wholeFrames(body), onPiece)
      return
    case 'br':
      await push(createBrotliDecompress({ chunkSize: readChunkSize }), body, onPiece)
      return
    case 'gzip':
      await push(createGunzip({ chunkSize: readChunkSize }), body, onPiece)
      return
    case 'none':
    case 'xz':
    case 'bzip2':
      // These decode in this thread, on demand.
      for await (const piece of decodeNar(compression, body, maxBytes)) onPiece(piece)
  }
}

async function push(
  transform: Transform,
  body: Body,
  onPiece: (piece: Uint8Array) => void,
): Promise<void> {
  using decoder = new PushStream(transform, onPiece)
  for await (const chunk of body) await decoder.write(chunk).catch(rethrowUndecodable)
  await decoder.end().catch(rethrowUndecodable)
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
