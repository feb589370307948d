import { createHash } from 'node:crypto'
import type { Compression } from '../../src/nix/compression.ts'
import type { Hash } from '../../src/nix/hash.ts'
import { encodeNar } from '../fakes/encode-nar.ts'
import type { BodySource } from '../lab/body-source.ts'
import { noise } from '../lab/forged-offer.ts'
import { narString, narStrings } from '../nix/tree.ts'
import type { Encoding } from './made-cache.ts'

/** A NAR that is never held in memory: a block, again and again, between what a NAR begins and ends with. */
export type HugeNar = {
  readonly narHash: Hash
  readonly narSize: bigint
  readonly compression: Compression
  readonly file: BodySource
}

type Segment = { readonly bytes: Buffer; readonly times: number }

/** Far beyond what zstd looks back at its fast levels: noise of this size, repeated, stays noise. */
const blockBytes = 1 << 24

/**
 * A NAR of one file of so many bytes, rounded up to whole blocks: zeros, or what no compressor shortens. In xz and zstd each block is
 * a stream or frame of its own, as several programs write them.
 */
export async function makeHugeNar(
  content: 'zeros' | 'noise',
  bytes: number,
  encoding: Encoding,
): Promise<HugeNar> {
  const times = Math.ceil(bytes / blockBytes)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(times * blockBytes))
  const head = narStrings('nix-archive-1', '(', 'type', 'regular', 'contents')
  const block = content === 'zeros' ? Buffer.alloc(blockBytes) : noise(content, blockBytes)
  const segments: readonly Segment[] = [
    { bytes: Buffer.concat([head, length]), times: 1 },
    { bytes: block, times },
    { bytes: narString(')'), times: 1 },
  ]
  const encoded = segments.map(async (segment) => ({
    ...segment,
    bytes: Buffer.from(await encodeNar(encoding, segment.bytes)),
  }))
  return {
    ...{ narHash: hashOf(segments), narSize: BigInt(sizeOf(segments)), compression: encoding },
    file: segmentSource(await Promise.all(encoded)),
  }
}

function hashOf(segments: readonly Segment[]): Hash {
  const digest = createHash('sha256')
  for (const { bytes, times } of segments) {
    for (let turn = 0; turn < times; turn += 1) digest.update(bytes)
  }
  return { algorithm: 'sha256', bytes: new Uint8Array(digest.digest()) }
}

function sizeOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, { bytes, times }) => sum + bytes.length * times, 0)
}

function segmentSource(segments: readonly Segment[]): BodySource {
  return {
    size: sizeOf(segments),
    etag: null,
    async *read(start, end, pieceBytes) {
      let at = 0
      for (const { bytes, times } of segments) {
        for (let turn = 0; turn < times; turn += 1, at += bytes.length) {
          const [from, to] = [Math.max(start - at, 0), Math.min(end - at, bytes.length)]
          for (let next = from; next < to; next += pieceBytes) {
            yield bytes.subarray(next, Math.min(to, next + pieceBytes))
          }
        }
      }
    },
  }
}
