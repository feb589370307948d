import { createHash, timingSafeEqual } from 'node:crypto'
import { BadNarError } from './bad-nar-error.ts'

/** The part of a NAR that an earlier source already gave: it must be the same before another one may go on. */
export class Prefix {
  readonly #expected: Uint8Array
  readonly #digest = createHash('sha256')
  #left: number

  /** `expected` is the sha256 of the first `bytes` bytes. */
  constructor(bytes: number, expected: Uint8Array) {
    this.#left = bytes
    this.#expected = expected
  }

  /** What of the piece lies behind the prefix. */
  skip(piece: Uint8Array): Uint8Array {
    if (this.#left === 0) return piece
    const skipped = piece.subarray(0, this.#left)
    this.#digest.update(skipped)
    this.#left -= skipped.length
    if (this.#left === 0 && !timingSafeEqual(this.#digest.digest(), this.#expected)) {
      throw new BadNarError(
        'prefix-mismatch',
        'the NAR differs from what another upstream began to give',
      )
    }
    return piece.subarray(skipped.length)
  }
}
