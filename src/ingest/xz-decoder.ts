import { setTimeout } from 'node:timers/promises'
import {
  code,
  end,
  getModule,
  initModule,
  LZMA_BUF_ERROR,
  LZMA_FINISH,
  LZMA_MEM_ERROR,
  LZMA_MEMLIMIT_ERROR,
  LZMA_OK,
  LZMA_RUN,
  LZMA_STREAM_END,
  WasmLzmaStream,
} from 'node-liblzma/wasm'
import { BadNarError } from './bad-nar-error.ts'

/** Input and output pass through WebAssembly memory in pieces of this size: at 64 KiB it decodes at half the speed. */
const bufferBytes = 256 * 1024
/** `xz -9` needs 65 MiB. */
const memoryLimit = 80n * 1024n * 1024n
/** liblzma's LZMA_CONCATENATED: several streams one after the other are one file. */
const concatenated = 0x08

/** More than a stream's and its first block's header: what the decoder's memory is asked for by (xz 1.2.1, 3.1). */
const headBytes = 2048

/**
 * Decodes an xz file, given and returned in pieces; what is no complete xz file throws a `BadNarError`. All decoders of a
 * thread share 256 MiB: one that finds none left waits for another to end.
 */
export async function* decodeXz(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await initModule()
  const pieces = cut(body)
  try {
    const { opened, output } = await openWithMemory(await takeHead(pieces))
    using decoder = opened
    yield* output
    for await (const piece of pieces) yield* decoder.decode(piece, LZMA_RUN)
    yield* decoder.decode(new Uint8Array(0), LZMA_FINISH)
  } finally {
    // The head was not taken by a loop that would close the body.
    await pieces.return(undefined)
  }
}

async function* cut(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += bufferBytes)
      yield chunk.subarray(at, at + bufferBytes)
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
  }
  return Buffer.concat(taken)
}

/** As long as a client waits gladly; then it is told to come again. */
const maxWaitMs = 20_000

const openDecoders = new Set<Promise<undefined>>()

/** A decoder that has got its memory, and what it made of the file's head. */
async function openWithMemory(
  head: Uint8Array,
): Promise<{ opened: Decoder; output: Generator<Uint8Array> }> {
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
function started(decoder: Decoder, head: Uint8Array): Generator<Uint8Array> {
  const output = parts(decoder, head)
  const first = output.next()
  return (function* () {
    if (first.done === true) return
    yield first.value
    yield* output
  })()
}

function* parts(decoder: Decoder, head: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < head.length; at += bufferBytes) {
    yield* decoder.decode(head.subarray(at, at + bufferBytes), LZMA_RUN)
  }
}

type Decoder = Disposable & {
  decode(input: Uint8Array, action: number): Generator<Uint8Array>
}

function tryOpen(): Decoder | null {
  const lzma = getModule()
  const stream = new WasmLzmaStream(lzma)
  const inputAt = lzma._malloc(bufferBytes)
  const outputAt = lzma._malloc(bufferBytes)
  const ended = Promise.withResolvers<undefined>()
  const dispose = (): void => {
    end(stream)
    stream.free()
    if (inputAt !== 0) lzma._free(inputAt)
    if (outputAt !== 0) lzma._free(outputAt)
    openDecoders.delete(ended.promise)
    ended.resolve(undefined)
  }
  if (
    inputAt === 0 ||
    outputAt === 0 ||
    lzma._lzma_stream_decoder(stream.ptr, memoryLimit, concatenated) !== LZMA_OK
  ) {
    dispose()
    return null
  }
  openDecoders.add(ended.promise)
  return {
    [Symbol.dispose]: dispose,
    *decode(input, action) {
      lzma.HEAPU8.set(input, inputAt)
      stream.setInput(inputAt, input.length)
      for (;;) {
        stream.setOutput(outputAt, bufferBytes)
        const result = code(stream, action)
        const produced = bufferBytes - stream.availOut
        if (produced > 0) yield Buffer.from(lzma.HEAPU8.subarray(outputAt, outputAt + produced))
        if (result === LZMA_STREAM_END) return
        // "No progress possible" without input left only asks for more of it.
        const wantsInput = action === LZMA_RUN && stream.availIn === 0
        if (result !== LZMA_OK && !(result === LZMA_BUF_ERROR && wantsInput)) throw failure(result)
        if (wantsInput && produced < bufferBytes) return
      }
    },
  }
}

function failure(result: number): BadNarError {
  if (result === LZMA_MEM_ERROR) return outOfMemory()
  if (result === LZMA_MEMLIMIT_ERROR) {
    return new BadNarError(
      'undecodable',
      `the xz file needs more than ${memoryLimit} bytes of memory`,
    )
  }
  return new BadNarError('undecodable', `not a complete xz file (liblzma result ${result})`)
}

function outOfMemory(): BadNarError {
  return new BadNarError('out-of-memory', 'the xz file needs more memory than there is')
}
