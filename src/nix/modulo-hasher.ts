/**
 * The hash of bytes modulo a store path's own hash, so that a path may contain itself and still be named after its content.
 *
 *   every occurrence of the 32-character hash, from left to right and not overlapping, is replaced by 32 NULs;
 *   after all bytes, "|" and the decimal offset of each occurrence are appended, in order
 */
import { Buffer } from 'node:buffer'
import { createHash, type Hash as NodeHash } from 'node:crypto'
import type { Hash, HashAlgorithm } from './hash.ts'
import type { StorePathHash } from './store-path.ts'

/** The most occurrences that are counted: what is remembered of each must be bounded. */
export const maxOwnHashOccurrences = 4_194_304

const positionsPerUpdate = 4096

/** A hasher with `update` and `digest`; the digest is null with more than `maxOwnHashOccurrences` occurrences. */
export function createModuloHasher(algorithm: HashAlgorithm, ownHash: StorePathHash) {
  const hasher = new ModuloHasher(algorithm, ownHash)
  return {
    update: (chunk: Uint8Array): void => {
      hasher.update(chunk)
    },
    digest: (): Hash | null => hasher.digest(),
  }
}

class ModuloHasher {
  readonly #algorithm: HashAlgorithm
  readonly #hash: NodeHash
  readonly #needle: Buffer
  readonly #zeros: Uint8Array
  readonly #positions: number[] = []
  /** The last bytes, not hashed yet, in which an occurrence may have begun; shorter than the needle. */
  #carry: Buffer = Buffer.alloc(0)
  /** How many bytes have been hashed. */
  #offset = 0

  constructor(algorithm: HashAlgorithm, ownHash: StorePathHash) {
    this.#algorithm = algorithm
    this.#hash = createHash(algorithm)
    this.#needle = Buffer.from(ownHash, 'latin1')
    this.#zeros = new Uint8Array(this.#needle.length)
  }

  update(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    let start = 0
    if (this.#carry.length > 0) {
      // Enough of the chunk to complete whatever began in the carry; what is left of both is the chunk's own.
      const joint = Math.min(bytes.length, this.#needle.length - 1)
      this.#carry = this.#scan(Buffer.concat([this.#carry, bytes.subarray(0, joint)]))
      if (joint === bytes.length) return
      start = joint - this.#carry.length
    }
    // A copy: the chunk is the caller's to reuse.
    this.#carry = Buffer.from(this.#scan(bytes.subarray(start)))
  }

  digest(): Hash | null {
    this.#hash.update(this.#carry)
    if (this.#positions.length > maxOwnHashOccurrences) return null
    for (let i = 0; i < this.#positions.length; i += positionsPerUpdate) {
      const positions = this.#positions.slice(i, i + positionsPerUpdate)
      this.#hash.update(positions.map((position) => `|${position}`).join(''))
    }
    return { algorithm: this.#algorithm, bytes: new Uint8Array(this.#hash.digest()) }
  }

  /** Hashes what is certain and returns the rest, in which an occurrence may have begun. */
  #scan(bytes: Buffer): Buffer {
    let at = 0
    for (let hit = bytes.indexOf(this.#needle); hit !== -1; hit = bytes.indexOf(this.#needle, at)) {
      this.#hashRange(bytes, at, hit)
      if (this.#positions.length <= maxOwnHashOccurrences) this.#positions.push(this.#offset)
      this.#hashRange(this.#zeros, 0, this.#zeros.length)
      at = hit + this.#needle.length
    }
    const rest = Math.max(at, bytes.length - this.#needle.length + 1)
    this.#hashRange(bytes, at, rest)
    return bytes.subarray(rest)
  }

  #hashRange(bytes: Uint8Array, start: number, end: number): void {
    this.#hash.update(bytes.subarray(start, end))
    this.#offset += end - start
  }
}
