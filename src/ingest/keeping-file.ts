import type { Compression } from '../nix/compression.ts'
import type { NarSource } from '../ports/nar-ingest.ts'
import { FedBody } from './fed-body.ts'

type FileOf = Pick<NarSource, 'compression' | 'fileHash'>

/**
 * A file on its way that is kept as it comes. Where its source breaks off, it can be gone on with from any that promises the same file:
 * what is held against NarHash or FileHash is the whole, whoever gave its parts.
 */
export class KeepingFile implements Disposable {
  readonly #compression: Compression
  readonly #fileHash: string | null
  readonly #body = new FedBody()
  readonly #kept: Promise<void>

  /** `keep` takes the whole file, and throws where it is wrong. */
  constructor(
    { compression, fileHash }: FileOf,
    keep: (body: AsyncIterable<Uint8Array>) => Promise<void>,
  ) {
    this.#compression = compression
    this.#fileHash = fileHash
    this.#kept = keep(this.#body)
    this.#kept.then(
      () => {
        this.#body.left(null)
      },
      (error: unknown) => {
        this.#body.left(error instanceof Error ? error : new Error(String(error)))
      },
    )
  }

  /** Whether its file was taken, or is wrong: nothing can be added. */
  get isOver(): boolean {
    return this.#body.hasLeft
  }

  isSameFile({ compression, fileHash }: FileOf): boolean {
    return fileHash !== null && fileHash === this.#fileHash && compression === this.#compression
  }

  /** Takes the file's next bytes: all of them are written when it resolves. */
  async feed(bytes: Uint8Array): Promise<void> {
    await this.#body.feed(bytes)
  }

  /** Ends the file, and throws where it is wrong. */
  async finish(): Promise<void> {
    this.#body.end()
    await this.#kept
  }

  [Symbol.dispose](): void {
    this.#body.breakOff(new Error('the file is given up'))
  }
}
