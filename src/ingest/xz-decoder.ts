import { setTimeout } from 'node:timers/promises'
import { BadNarError } from './bad-nar-error.ts'
import {
  loadLzma,
  lzmaBufferBytes,
  type LzmaCoder,
  openXzDecoder,
  outOfMemory,
} from './lzma-coder.ts'

/** `xz -9` needs 65 MiB. */
const memoryLimit = 80n * 1024n * 1024n

/** More than a stream's and its first block's header: what the decoder's memory is asked for by (xz 1.2.1, 3.1). */
const headBytes = 2048

/**
 * Decodes an xz file, given and returned in pieces, each of which holds until the next one is asked for; what is no complete xz file throws a
 * `BadNarError`. All decoders of a
 * thread share 256 MiB: one that finds none left waits for another to end.
 */
export async function* decodeXz(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await loadLzma()
  const pieces = cut(body)
  try {
    const { opened, output } = await openWithMemory(await takeHead(pieces))
    using decoder = opened
    yield* output
    for await (const piece of pieces) yield* decoder.take(piece)
    yield* decoder.finish()
  } finally {
    // The head was not taken by a loop that would close the body.
    await pieces.return(undefined)
  }
}

async function* cut(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += lzmaBufferBytes)
      yield chunk.subarray(at, at + lzmaBufferBytes)
  }
}

async function takeHead(pieces: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
  const taken: Uint8Array[] = []
  let bytes = 0
  while (bytes < headBytes) {
    const next = await pieces.next()
    if (next.done === true) break
    taken.push(next.value)
    bytes += next.value.length
    // A file that is shorter need not be waited for to the end.
    if (endsAsXz(next.value)) break
  }
  return Buffer.concat(taken)
}

/** Whether these may be the last bytes of a stream: the magic bytes of its footer (xz 1.2.1, 2.1.2.4). */
function endsAsXz(piece: Uint8Array): boolean {
  return piece.at(-2) === 0x59 && piece.at(-1) === 0x5a
}

/** As long as a client waits gladly; then it is told to come again. */
const maxWaitMs = 20_000

const openDecoders = new Set<Promise<undefined>>()

/** A decoder that has got its memory, and what it made of the file's head. */
async function openWithMemory(
  head: Uint8Array,
): Promise<{ opened: LzmaCoder; output: Generator<Uint8Array> }> {
  const giveUpAt = performance.now() + maxWaitMs
  for (;;) {
    const decoder = tryOpen()
    try {
      if (decoder !== null) return { opened: decoder, output: started(decoder, head) }
    } catch (error) {
      decoder?.[Symbol.dispose]()
      const wantsMemory = error instanceof BadNarError && error.code === 'out-of-memory'
      if (!wantsMemory) throw error
    }
    if (openDecoders.size === 0) throw outOfMemory()
    if (performance.now() > giveUpAt) throw outOfMemory()
    await Promise.race([...openDecoders, setTimeout(1000, undefined, { ref: false })])
  }
}

/** Decodes up to the first output, where all memory has been asked for. */
function started(decoder: LzmaCoder, head: Uint8Array): Generator<Uint8Array> {
  const output = parts(decoder, head)
  const first = output.next()
  return (function* () {
    if (first.done === true) return
    yield first.value
    yield* output
  })()
}

function* parts(decoder: LzmaCoder, head: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < head.length; at += lzmaBufferBytes) {
    yield* decoder.take(head.subarray(at, at + lzmaBufferBytes))
  }
}

/** A decoder that those who want its memory know of. */
function tryOpen(): LzmaCoder | null {
  const decoder = openXzDecoder(memoryLimit)
  if (decoder === null) return null
  const ended = Promise.withResolvers<undefined>()
  openDecoders.add(ended.promise)
  return {
    ...decoder,
    [Symbol.dispose]: () => {
      decoder[Symbol.dispose]()
      openDecoders.delete(ended.promise)
      ended.resolve(undefined)
    },
  }
}
