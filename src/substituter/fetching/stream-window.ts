import type { NarFile } from '../../ports/nar-store.ts'
import { TransferBrokenError } from './transfer.ts'

type Piece = { readonly start: number; readonly bytes: Uint8Array; readonly taken: () => void }

/**
 * The part of a NAR's file that is on its way to its one reader, who goes only forwards: what lies before the reader's position is let go
 * of, and whoever made it is told.
 */
export class StreamWindow implements Pick<NarFile, 'read' | 'close'> {
  readonly #changed: (heldBytes: number) => void
  #pieces: Piece[] = []
  #position = 0
  #end = 0
  #held = 0
  #isClosed = false

  /** `changed` is told how many bytes are held, each time that some are let go of. */
  constructor(changed: (heldBytes: number) => void = () => undefined) {
    this.#changed = changed
  }

  /** Takes the file's next bytes, which are its own from now on; resolves once they were let go of. */
  push(bytes: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    const start = this.#end
    this.#end += bytes.length
    this.#held += bytes.length
    this.#pieces.push({
      start,
      bytes,
      taken: () => {
        resolve(undefined)
      },
    })
    this.#letGo()
    return promise
  }

  /** The file begins anew; nothing of it was read. */
  restart(): void {
    this.#drop(this.#pieces.length)
    this.#end = 0
  }

  /** Nothing before this position will be read any more. */
  moveTo(position: number): void {
    this.#position = Math.max(position, this.#position)
    this.#letGo()
  }

  /** Reads what is there at `position`; 0 where nothing is. */
  read(buffer: Uint8Array, position: number): Promise<number> {
    return Promise.try(() => this.#copy(buffer, position))
  }

  #copy(buffer: Uint8Array, position: number): number {
    let read = 0
    for (const { start, bytes } of this.#pieces) {
      const from = position + read - start
      if (from < 0) throw new TransferBrokenError('this part of the NAR went by')
      if (from >= bytes.length) continue
      const part = bytes.subarray(from, from + buffer.length - read)
      buffer.set(part, read)
      read += part.length
      if (read === buffer.length) break
    }
    return read
  }

  /** Lets go of everything, also of what still comes. */
  close(): Promise<void> {
    this.#isClosed = true
    this.#letGo()
    return Promise.resolve()
  }

  #letGo(): void {
    const isWanted = ({ start, bytes }: Piece): boolean => start + bytes.length > this.#position
    const first = this.#isClosed ? -1 : this.#pieces.findIndex(isWanted)
    this.#drop(first === -1 ? this.#pieces.length : first)
  }

  #drop(count: number): void {
    const dropped = this.#pieces.splice(0, count)
    for (const { bytes, taken } of dropped) {
      this.#held -= bytes.length
      taken()
    }
    if (count > 0) this.#changed(this.#held)
  }
}
