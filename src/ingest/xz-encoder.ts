import type { Encoder } from './encoders.ts'
import { loadLzma, lzmaBufferBytes, openXzEncoder, outOfMemory } from './lzma-coder.ts'

/** xz's fastest: still the slowest thing that Weir does, and the least memory. */
const preset = 0

/** Encodes a file as xz, in this thread. Throws a `BadNarError` `out-of-memory` where there is none for it. */
export async function createXzEncoder(onOutput: (chunk: Uint8Array) => void): Promise<Encoder> {
  await loadLzma()
  const encoder = openXzEncoder(preset)
  if (encoder === null) throw outOfMemory()
  return {
    write(piece) {
      for (let at = 0; at < piece.length; at += lzmaBufferBytes) {
        for (const chunk of encoder.take(piece.subarray(at, at + lzmaBufferBytes))) onOutput(chunk)
      }
      return Promise.resolve()
    },
    end() {
      for (const chunk of encoder.finish()) onOutput(chunk)
      return Promise.resolve()
    },
    [Symbol.dispose]: () => {
      encoder[Symbol.dispose]()
    },
  }
}
