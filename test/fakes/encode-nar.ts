/** NARs for tests, and the files that hold them in every encoding that Weir decodes. */
import { Buffer } from 'node:buffer'
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { initModule, xzAsync } from 'node-liblzma/wasm'
import { writeNar } from '../nix/tree.ts'

/** The compressions that Weir decodes. */
export const encodings = ['none', 'xz', 'zstd', 'br', 'gzip', 'bzip2'] as const

export type Encoding = (typeof encodings)[number]

/** A NAR of a few hundred bytes. */
export const smallNar: Buffer = writeNar({
  type: 'directory',
  entries: [
    [
      'hello',
      { type: 'regular', executable: true, contents: Buffer.from('#!/bin/sh\necho hello\n') },
    ],
    ['link', { type: 'symlink', target: 'hello' }],
  ],
})

/** A NAR of 150,888 bytes that compresses well; two blocks of `bzip2 -1`. */
export const patternNar: Buffer = writeNar({
  type: 'directory',
  entries: [
    ['bin', { type: 'regular', executable: true, contents: pattern(150_000, 251) }],
    ['empty', { type: 'regular', executable: false, contents: new Uint8Array(0) }],
    ['link', { type: 'symlink', target: 'bin' }],
    ['text', { type: 'regular', executable: false, contents: Buffer.from('hello weir\n') }],
  ],
})

/** A NAR of one file: half of it random from the seed, half of it zeros, in turns of 10,000 bytes. */
export function mixedNar(length: number, seed: number): Buffer {
  const contents = randomBytes(length, seed)
  for (let at = 0; at < length; at += 20_000) contents.subarray(at, at + 10_000).fill(0)
  return writeNar({ type: 'regular', executable: false, contents })
}

/** Bytes that look random, the same for the same seed. */
export function randomBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  const next = random(seed)
  for (let at = 0; at < length; at += 1) bytes[at] = next() >>> 24
  return bytes
}

/** Numbers below 2³² that look random (mulberry32), the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** The file of a NAR; bzip2, which only the bzip2 program writes, of `smallNar` and `patternNar` alone. */
export async function encodeNar(encoding: Encoding, nar: Uint8Array): Promise<Uint8Array> {
  switch (encoding) {
    case 'none':
      return nar
    case 'xz':
      await initModule()
      return xzAsync(nar, { preset: 1 })
    case 'zstd':
      return zstdCompressSync(nar, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
    case 'br':
      return brotliCompressSync(nar, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
    case 'gzip':
      return gzipSync(nar)
    case 'bzip2':
      if (nar === smallNar) return Buffer.from(smallBzip2, 'base64')
      if (nar === patternNar) return Buffer.from(patternBzip2, 'base64')
      throw new TypeError('there is no bzip2 file of this NAR')
  }
}

/** A body in pieces whose sizes are taken from the list in turn. */
export async function* bodyOf(
  bytes: Uint8Array,
  sizes: Iterable<number> = [65_536],
): AsyncGenerator<Uint8Array> {
  const cycle = [...sizes]
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = Math.max(1, cycle[turn % cycle.length] ?? bytes.length)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

function pattern(length: number, period: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 1) bytes[at] = ((at % period) * 7) & 0xff
  return bytes
}

/** `bzip2 -1` of `smallNar`. */
const smallBzip2 =
  'QlpoMTFBWSZTWYxMiL8AAJd5gG/yAgBoYqAAPu/fYDAAuTDKCnqbNTSepp6gGjQbJoZ+omgeo0D1NAxAACRSjID0npqA' +
  'DRkYJ2XphAmpoeblqERq3nBkVJkiUFEVUSB0u26BCINAlgxCU2r2ByTEIYxoaKWUvNtG92Ei+3imWCxoxnvOT4KF4X+F' +
  'BUpab5K5F4wqtsZsGlRWIknM23XYobjMZWcVBQ6OLiiCOLzAQguEQwVPSkiQEg4SgjMGQ/F3JFOFCQjEyIvw'

/** `bzip2 -1` of `patternNar`. */
const patternBzip2 =
  'QlpoMTFBWSZTWXgbZjwACmD///////////////////////////////////////379+/f0AYeeAACkgAAAIAAAAAAAAAA' +
  'AAAAAAAAAAA00AAAAAAAAAAAAAAAAAAAA0IAAAAAAAAAAAAAAAAAAAAA00AAAAAAAAAAAAAAAAAAAA0IAAAAAAAAAAAA' +
  'AAAAAAAAA00AAAAAAAAAAAAAAAAAAAA0CaqqjU00GhMMjRkEwEwNADQAAAI0wmIwAmAE9AGgAAAAQ000ZNoAQMTEYmmT' +
  'AEwAAATDQMgkpKnqPUeymk0GTQAAAAAABoAAGQAABoMg0yAABoAAAGQBkAAAAAAAAGgAABdQZCump6oiSJ24+NvXH5j6' +
  'wbHrbVHYCQdtCQCZDsR+UJAKwtfoSQCYj9iSATBJ+lDD+ISATMkipk4VMJCpmuZ4VFTAwIVMFZTCpmKKmaIqYfEwqYeF' +
  'TNUVMBFTLIVM3RUzhFTEwqYqFTFoqZyipnUKmdoqZ4ip+GFTPYVM+RUz9FTQIVNBRU0JFTQ4VPxQqaIipoqKmjQqaOip' +
  'i2kIqaTCpjIVNKRU0tFTGaZCpj9ORU01FTT4VMbqMKmpIqY1FTAhU1NFTVEVNVhU1OFTVkVNXRU1iFTWUVNaRU1uFTXI' +
  'VNdRU15FTX4VNgRU2FFTYoVNjhU2RFTZUVMjs8Km0IqbSip+OFT8kKm1IqflRU2iFTa0VNsRU22FTboVPzIqbeipuEKm' +
  '4oqfnRU/RCpuUKm5oqboipusKm7Iqbuipxm8wqXiIolTvQkgFf7zfEJAJ1UiJahUJAKHiYocxTyrshhFTK8ywXCIqcKi' +
  'pl+OzGFTHBUzDiMRhEVMBFTH4TCwqYXiEVOKwzEYS4pACbbfXwSQCiiTCSAWHQkAnBptt3iEJAKAEkAmpO44wdkChIBP' +
  'XTpCQCePBJAKBBUwf4ONRUzaw1gkVMfCpg0VMuRUziFTjoVMUiph0VOPhU5BFTkUVOShU5OFTlEVOVRU5aFTl0VOYRU5' +
  'mFTmoVObRU5xFTnYVOeRU59FToIVOhhU6JFTo0VOkhU6VFTpkVOnhU6iFTqUVOqRU/XCp+xFT9qKnVwqfuhU6xFT96Kn' +
  'WwqfwRU/iip10KnXwqfyRU7BFTIQqdiip2SKnZwqdpCp2qKnbIqdvCp3CKncoqfzhU/pCp/VFT+yKn94VO6RU7tFTvIV' +
  'P8Qqd6ip3yKnfwqf5RU/0ip4EKngwqeEip/tFTw4VP+IqeIip4sKn/YVPGRU8dFTyIVPJRU8pFTy4VPMhU81FTzkVP/Q' +
  'qeeip6CKnowqelCp6aKnqIqerCp6yKnrwqexCp7KKntIqe3Cp7iKnuwqe9Cp76KnwIqfDCp8SKnxwqfJCp8qKnBf/RU+' +
  'aFT50VPohU+mFTIoqZBFT6oVPrRU+yFT7YVPuRUySKmThU+8xQVkmU1kfBAbCAAdo///////////////////////////' +
  '////////////9+/fv39AFvgAAAAAABAAAAAAAAAAAAAAAAAAAAAGmgAAAAAAAAAAAAAAAAAAAGhAAAAAAAAAAAAAAAAA' +
  'AAAAGmgAAAAAAAAAAAAAAAAAAAGhAAAAAAAAAAAAAAAAAAAAAGmgAAAAAAAAAAAAAAAAAAAGhAAAAAAAAAAAAAAAAAAA' +
  'AAGmgAAAAAAAAAAAAAAAAAAAGgKVSU1M0TyGoyNEYCaA2iYTQMAmmQ0DQZGEaYNI0yNPTSe1GgCNGINBpkaYjEAGCMTC' +
  'YjTTTTRgQNGmmjQDRkYDgDS8JimYsnhtHNGsDHqzmeZJlZ2s/Z/EZBpcDT2FKwwDKwIMrC7wRaZiWdx8M/npjPFEXjCL' +
  'FV44iwExrAwsPIEWGK8mIsXlCLCUWbEWsiLIzIiyskRaGItVEWgEWrCLzAizWsiLRCLzMRa0ItbEWuCLXYi14Ra+Itgi' +
  'LzQi2ERebEXnIi86IvPCLL9BEWxCLRiLYxFskRehEWyiLRLZoiwjZxFtAi9EItpiL0Yi9IItlEW0iL0oi9MIvTxFtQi2' +
  'sRbYIttEW3CLbxFuERbiIvUCLchF6kRbmIt0EXqoi9WIvWCLdRF60ReuEXrxF7CIvYiLdhF7IRezEXtBF7URbvEW8CL2' +
  'wi9uIt5EW9CLexFvkRe4EXuRFvoi90It+EW/iLgIi4ERcEItIIuDEWktO0m1e8EXCCLE3O97EWlsu4q35xuX8ARZsyGX' +
  'hxAizWmEWmZniRF8HVWAixtOItCyoi4xj6pmcfARZuy8XFCLi81YMLV2NNUEWPkWS0AizlkZwRagRZLFkMWgtREWDMam' +
  'IuOzuYyWGE1jFamIs8xhFnxFu+ZEWa40RaKyOIwsURYhFiEWrCLjhFrQizwi0MRceIuQEXIiLkhFyYi+EIvhxFygi+II' +
  'viiLlRFywi5cRfGiL44i+QIvkiLmBF8oRfLEXzIi+aIuZEXzhFzQi5sRfPEX0Ii5wRfREXOiLnhFz4i+kIvpxF0Ai6ER' +
  'dEIvqCL6oi+sIvrxF9gRfZEX2hF9sRfcEX3RF0cRdIIulEXTCLpxF94RffEXURF1Ii6oRfgEXViLrBF1oi66IvwiLrxF' +
  '2Ai7ERfiEX4xF2URfkEXZiL8oi7QRfmEXaiL88RdsIv0CL9Ii7cRdwIu5EXdRF3Yi7wRfqEX6xF+wRftEX7oi70RfvEX' +
  '8BF3wi/iIu/iL+Qi8ARfzEX9BF4Ii/rEX9hF/cRf4EX+RF/oRf7iLwhF/wRf9EXhiLxBF/6Iv/iLxRF4wi8cReQIvJiL' +
  'yhF5Yu5IpwoSHeZZV0A='
