import { createHash, type Hash as Digest } from 'node:crypto'
import type { ContentAddress } from '../nix/content-address.ts'
import { type Hash, hashEquals } from '../nix/hash.ts'
import { createContentHasher } from '../nix/nar-content-hash.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import { BadNarError } from './bad-nar-error.ts'

/** What a trusted claim promises of a NAR. */
export type NarPromise = {
  readonly storePathHash: StorePathHash
  readonly narHash: Hash
  /** Bytes. */
  readonly narSize: number
  readonly ca: ContentAddress | null
}

/** Holds a NAR that comes in pieces against its promise. */
export class NarVerifier {
  readonly #promise: NarPromise
  readonly #digest: Digest
  readonly #content: ReturnType<typeof createContentHasher> | null
  #bytes = 0

  constructor(promise: NarPromise) {
    this.#promise = promise
    this.#digest = createHash(promise.narHash.algorithm)
    this.#content =
      promise.ca === null ? null : createContentHasher(promise.ca, promise.storePathHash)
  }

  /** NAR bytes so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes of the NAR as promised. */
  get narSize(): number {
    return this.#promise.narSize
  }

  /** Whether as many bytes as promised have come. */
  get isFull(): boolean {
    return this.#bytes === this.#promise.narSize
  }

  /** The hash of the NAR bytes so far. */
  prefixHash(): Uint8Array {
    return this.#digest.copy().digest()
  }

  /** Takes the NAR's next bytes; more than promised are a `too-long`, before any of them is used. */
  update(piece: Uint8Array): void {
    if (this.#bytes + piece.length > this.#promise.narSize) {
      throw new BadNarError(
        'too-long',
        `the NAR is longer than its NarSize, ${this.#promise.narSize}`,
      )
    }
    this.#bytes += piece.length
    this.#digest.update(piece)
    this.#content?.update(piece)
  }

  /** Returns where the bytes so far are exactly the promised NAR, and throws a `BadNarError` where they are not. */
  check(): void {
    const { narHash, narSize, ca } = this.#promise
    if (!this.isFull) {
      throw new BadNarError(
        'too-short',
        `the NAR has ${this.#bytes} bytes, its NarSize says ${narSize}`,
      )
    }
    if (!hashEquals({ algorithm: narHash.algorithm, bytes: this.prefixHash() }, narHash)) {
      throw new BadNarError('nar-hash-mismatch', 'the NAR is not the one that NarHash promises')
    }
    if (this.#content === null || ca === null) return
    const content = this.#content.digest()
    if (content === null || !hashEquals(content, ca.hash)) {
      throw new BadNarError(
        'content-address-mismatch',
        'the NAR is not the one that its CA promises',
      )
    }
  }
}
