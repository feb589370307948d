import { Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createZstdDecompress } from 'node:zlib'
import { type UpstreamBody, UpstreamError } from '../../ports/upstream.ts'

const decoders: Readonly<Record<string, () => Transform>> = {
  br: createBrotliDecompress,
  gzip: createGunzip,
  zstd: createZstdDecompress,
}

/** A body without its Content-Encoding; an encoding that Weir does not know is an `unexpected-encoding`. */
export function decodeBody(encoding: string, body: UpstreamBody): UpstreamBody {
  if (encoding === 'identity' || encoding === '') return body
  const decoder = decoders[encoding]?.()
  if (decoder === undefined) {
    throw new UpstreamError(
      'unexpected-encoding',
      `the body came with Content-Encoding ${encoding}`,
    )
  }
  return decoded(decoder, body)
}

async function* decoded(decoder: Transform, body: UpstreamBody): AsyncGenerator<Uint8Array> {
  const source = Readable.from(body, { objectMode: false })
  source.on('error', (error) => decoder.destroy(error))
  try {
    for await (const chunk of source.pipe(decoder)) yield chunk as Uint8Array
  } finally {
    source.destroy()
    decoder.destroy()
  }
}
