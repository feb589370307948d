/**
 * Where zstd frames end, without decoding them (RFC 8878, section 3.1):
 *
 *     file   = { frame | skippable }
 *     frame  = magic descriptor [window] [dictionary id] [content size] { block } [checksum]
 *     block  = 3 bytes little-endian (bit 0: last; bits 1–2: type; the rest: size) content
 *     skippable = magic (0x184D2A50 … 5F) size (4 bytes little-endian) content
 *
 * node:zlib's decoder ends at the first frame when a write holds more than that one; recent Nix clients write many.
 */
const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50

type State =
  | 'magic'
  | 'descriptor'
  | 'header-rest'
  | 'block-header'
  | 'block-content'
  | 'checksum'
  | 'skippable-size'
  | 'skippable-content'

/** What is no zstd file: a wrong magic number, or a reserved block type. */
export class ZstdFrameError extends Error {
  override readonly name = 'ZstdFrameError'
}

/** Follows the frames through a file that comes in pieces. */
export class ZstdFrames {
  #state: State = 'magic'
  #left = 4
  #field = Buffer.alloc(4)
  #fieldBytes = 0
  #hasChecksum = false
  #lastBlock = false

  /** Whether the file may end here: between two frames. */
  get atBoundary(): boolean {
    return this.#state === 'magic' && this.#fieldBytes === 0
  }

  /** The offset in `chunk`, at or after `from`, at which the next frame ends; the chunk's length where none does. */
  nextEnd(chunk: Uint8Array, from: number): number {
    let at = from
    while (at < chunk.length) {
      at += this.#take(chunk, at)
      if (this.#left === 0 && this.#advance()) return at
    }
    return at
  }

  /** Takes bytes of the current part; fields are kept, contents passed over. */
  #take(chunk: Uint8Array, at: number): number {
    const bytes = Math.min(this.#left, chunk.length - at)
    if (this.#isField()) {
      this.#field.set(chunk.subarray(at, at + bytes), this.#fieldBytes)
      this.#fieldBytes += bytes
    }
    this.#left -= bytes
    return bytes
  }

  #isField(): boolean {
    return ['magic', 'descriptor', 'block-header', 'skippable-size'].includes(this.#state)
  }

  /** Goes on to the next part that has bytes; true where a frame ended. */
  #advance(): boolean {
    do {
      const before = this.#state
      this.#next()
      this.#fieldBytes = 0
      if (this.#state === 'magic' && before !== 'magic') return true
    } while (this.#left === 0)
    return false
  }

  #enter(state: State, bytes: number): void {
    this.#state = state
    this.#left = bytes
  }

  #next(): void {
    switch (this.#state) {
      case 'magic':
        this.#readMagic()
        return
      case 'descriptor':
        this.#readDescriptor(this.#field.readUInt8(0))
        return
      case 'header-rest':
        this.#enter('block-header', 3)
        return
      case 'block-header':
        this.#readBlockHeader(this.#field.readUIntLE(0, 3))
        return
      case 'block-content':
        if (!this.#lastBlock) this.#enter('block-header', 3)
        else if (this.#hasChecksum) this.#enter('checksum', 4)
        else this.#enter('magic', 4)
        return
      case 'skippable-size':
        this.#enter('skippable-content', this.#field.readUInt32LE(0))
        return
      case 'checksum':
      case 'skippable-content':
        this.#enter('magic', 4)
    }
  }

  #readMagic(): void {
    const magic = this.#field.readUInt32LE(0)
    if (magic === frameMagic) this.#enter('descriptor', 1)
    else if ((magic & 0xfffffff0) >>> 0 === skippableMagic) this.#enter('skippable-size', 4)
    else throw new ZstdFrameError('not a zstd frame')
  }

  #readDescriptor(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0
    const sizeFlag = descriptor >> 6
    const windowBytes = isSingleSegment ? 0 : 1
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
    const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** sizeFlag
    this.#hasChecksum = (descriptor & 4) !== 0
    this.#enter('header-rest', windowBytes + dictionaryBytes + sizeBytes)
  }

  #readBlockHeader(header: number): void {
    const type = (header >> 1) & 3
    if (type === 3) throw new ZstdFrameError('a reserved zstd block type')
    this.#lastBlock = (header & 1) !== 0
    // A run-length block has one byte, however long it makes it.
    this.#enter('block-content', type === 1 ? 1 : header >> 3)
  }
}
