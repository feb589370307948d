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

/** Decodes an xz file, given and returned in pieces; what is no complete xz file throws a `BadNarError`. */
export async function* decodeXz(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  await initModule()
  using decoder = openDecoder()
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += bufferBytes) {
      yield* decoder.decode(chunk.subarray(at, at + bufferBytes), LZMA_RUN)
    }
  }
  yield* decoder.decode(new Uint8Array(0), LZMA_FINISH)
}

type Decoder = Disposable & {
  decode(input: Uint8Array, action: number): Generator<Uint8Array>
}

function openDecoder(): Decoder {
  const lzma = getModule()
  const stream = new WasmLzmaStream(lzma)
  const inputAt = lzma._malloc(bufferBytes)
  const outputAt = lzma._malloc(bufferBytes)
  const dispose = (): void => {
    end(stream)
    stream.free()
    if (inputAt !== 0) lzma._free(inputAt)
    if (outputAt !== 0) lzma._free(outputAt)
  }
  if (
    inputAt === 0 ||
    outputAt === 0 ||
    lzma._lzma_stream_decoder(stream.ptr, memoryLimit, concatenated) !== LZMA_OK
  ) {
    dispose()
    throw new BadNarError('out-of-memory', 'no memory left for another xz decoder')
  }
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
  if (result === LZMA_MEM_ERROR || result === LZMA_MEMLIMIT_ERROR) {
    return new BadNarError('out-of-memory', 'the xz file needs more memory than is allowed')
  }
  return new BadNarError('undecodable', `not a complete xz file (liblzma result ${result})`)
}
