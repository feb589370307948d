import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { formatHash } from '../nix/hash.ts'

/** The file that a NAR is written to while others read its released part. Synchronous: it lives in a worker thread. */
export class PartialFile implements Disposable {
  readonly #fd: number
  #digest = createHash('sha256')
  #bytes = 0

  constructor(path: string) {
    this.#fd = openSync(path, 'r+')
  }

  /** Bytes written since the start or the last `restart`. */
  get bytes(): number {
    return this.#bytes
  }

  /** Appends the whole chunk; a full disk throws the system's error. */
  append(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      at += writeSync(this.#fd, chunk, at, chunk.length - at, this.#bytes + at)
    }
    this.#bytes += chunk.length
    this.#digest.update(chunk)
  }

  /** Empties the file. */
  restart(): void {
    ftruncateSync(this.#fd, 0)
    this.#bytes = 0
    this.#digest = createHash('sha256')
  }

  /** The hash of what was written, as `sha256:nix32`. */
  hash(): string {
    return formatHash({ algorithm: 'sha256', bytes: this.#digest.copy().digest() })
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}
