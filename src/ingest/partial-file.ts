import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { formatHash } from '../nix/hash.ts'
import { type NarSink, UnwrittenError } from './nar-sink.ts'

/** The file that a NAR is written to while others read its released part. Synchronous: it lives in a worker thread. */
export class PartialFile implements NarSink {
  readonly #fd: number
  #digest = createHash('sha256')
  #bytes = 0
  #failure: UnwrittenError | null = null

  /** Throws `UnwrittenError` where there is no such file. */
  constructor(path: string) {
    this.#fd = this.#written(() => openSync(path, 'r+'))
  }

  get bytes(): number {
    return this.#bytes
  }

  get failure(): UnwrittenError | null {
    return this.#failure
  }

  append(chunk: Uint8Array): void {
    this.#written(() => {
      for (let at = 0; at < chunk.length;) {
        at += writeSync(this.#fd, chunk, at, chunk.length - at, this.#bytes + at)
      }
    })
    this.#bytes += chunk.length
    this.#digest.update(chunk)
  }

  ready(): Promise<void> {
    return Promise.resolve()
  }

  restart(): void {
    this.#written(() => {
      ftruncateSync(this.#fd, 0)
    })
    this.#bytes = 0
    this.#digest = createHash('sha256')
  }

  hash(): string {
    return formatHash({ algorithm: 'sha256', bytes: this.#digest.copy().digest() })
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #written<T>(write: () => T): T {
    try {
      return write()
    } catch (error) {
      this.#failure ??= new UnwrittenError(error)
      throw this.#failure
    }
  }
}
