/** One stream of liblzma's WebAssembly build, encoding or decoding: bytes go through its memory in pieces. */
import {
  code,
  encoderInit,
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
  wasmVersionString,
} from 'node-liblzma/wasm'
import { BadNarError } from './bad-nar-error.ts'

/** Input and output pass in pieces of this size: at 64 KiB it decodes at half the speed. */
export const lzmaBufferBytes = 256 * 1024

/** liblzma's LZMA_CONCATENATED: several streams one after the other are one file. */
const concatenated = 0x08

export type LzmaCoder = Disposable & {
  /** Takes at most `lzmaBufferBytes` more and gives what that makes; a piece holds until the next one is asked for. */
  take(input: Uint8Array): Generator<Uint8Array>
  /** Ends the input and gives the rest. */
  finish(): Generator<Uint8Array>
}

/** Loads the WebAssembly module into this thread, once. */
export async function loadLzma(): Promise<void> {
  await initModule()
}

/** The version of liblzma, once it is loaded. */
export function lzmaVersion(): string {
  return wasmVersionString()
}

/** A decoder of xz files; `null` where there is no memory for it. `memoryLimit` is in bytes. */
export function openXzDecoder(memoryLimit: bigint): LzmaCoder | null {
  return open(memoryLimit, (stream) => {
    const { ptr } = stream
    return getModule()._lzma_stream_decoder(ptr, memoryLimit, concatenated) === LZMA_OK
  })
}

/** An encoder of xz files by one of xz's presets; `null` where there is no memory for it. */
export function openXzEncoder(preset: number): LzmaCoder | null {
  return open(0n, (stream) => {
    try {
      encoderInit(stream, preset)
      return true
    } catch {
      return false
    }
  })
}

function open(
  memoryLimit: bigint,
  initialise: (stream: WasmLzmaStream) => boolean,
): LzmaCoder | null {
  const lzma = getModule()
  const stream = new WasmLzmaStream(lzma)
  const inputAt = lzma._malloc(lzmaBufferBytes)
  const outputAt = lzma._malloc(lzmaBufferBytes)
  const dispose = (): void => {
    end(stream)
    stream.free()
    if (inputAt !== 0) lzma._free(inputAt)
    if (outputAt !== 0) lzma._free(outputAt)
  }
  if (inputAt === 0 || outputAt === 0 || !initialise(stream)) {
    dispose()
    return null
  }
  const piece = Buffer.allocUnsafeSlow(lzmaBufferBytes)
  function* run(input: Uint8Array, action: number): Generator<Uint8Array> {
    lzma.HEAPU8.set(input, inputAt)
    stream.setInput(inputAt, input.length)
    for (;;) {
      stream.setOutput(outputAt, lzmaBufferBytes)
      const result = code(stream, action)
      const produced = lzmaBufferBytes - stream.availOut
      if (produced > 0) {
        // Not a view: the module's memory moves when another stream needs more of it.
        piece.set(lzma.HEAPU8.subarray(outputAt, outputAt + produced))
        yield piece.subarray(0, produced)
      }
      if (result === LZMA_STREAM_END) return
      // "No progress possible" without input left only asks for more of it.
      const wantsInput = action === LZMA_RUN && stream.availIn === 0
      if (result !== LZMA_OK && !(result === LZMA_BUF_ERROR && wantsInput)) {
        throw failure(result, memoryLimit)
      }
      if (wantsInput && produced < lzmaBufferBytes) return
    }
  }
  return {
    take: (input) => run(input, LZMA_RUN),
    finish: () => run(new Uint8Array(0), LZMA_FINISH),
    [Symbol.dispose]: dispose,
  }
}

function failure(result: number, memoryLimit: bigint): BadNarError {
  if (result === LZMA_MEM_ERROR) return outOfMemory()
  if (result === LZMA_MEMLIMIT_ERROR) {
    return new BadNarError(
      'undecodable',
      `the xz file needs more than ${memoryLimit} bytes of memory`,
    )
  }
  return new BadNarError('undecodable', `not a complete xz file (liblzma result ${result})`)
}

/** What says that there is no memory left for another stream. */
export function outOfMemory(): BadNarError {
  return new BadNarError('out-of-memory', 'xz needs more memory than there is')
}
