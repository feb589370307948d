import unbzip2 from 'unbzip2-stream'
import { BadNarError } from './bad-nar-error.ts'

/**
 * Decodes a bzip2 file, given and returned in pieces; what is no complete bzip2 file throws a `BadNarError`. The decoder
 * works off all that it is given at once, and a block of 40 bytes can hold 45 MB: after `maxBytes` it is stopped.
 */
export async function* decodeBzip2(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const decoder = unbzip2()
  const blocks: Uint8Array[] = []
  let failure: unknown = null
  // It decodes whole blocks inside `write` and `end`, so nothing is left to come afterwards.
  let bytes = 0
  decoder.on('data', (block: Uint8Array) => {
    bytes += block.length
    if (bytes > maxBytes) throw new BadNarError('too-long', 'a bzip2 bomb')
    blocks.push(block)
  })
  decoder.on('error', (error: unknown) => {
    failure ??= error
  })
  const taken = (): Uint8Array[] => {
    if (failure instanceof BadNarError) throw failure
    if (failure !== null)
      throw new BadNarError('undecodable', 'not a bzip2 file', { cause: failure })
    return blocks.splice(0)
  }
  for await (const chunk of body) {
    decoder.write(Buffer.from(chunk))
    yield* taken()
  }
  decoder.end()
  yield* taken()
}
