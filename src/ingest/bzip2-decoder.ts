import bitIterator from 'unbzip2-stream/lib/bit_iterator.js'
import bzip2 from 'unbzip2-stream/lib/bzip2.js'
import { BadNarError } from './bad-nar-error.ts'

/** What a block may take in the file, beyond its size: it is decoded once all of it has come. */
const blockHeaderBytes = 25_000
const blockUnitBytes = 100_000
const pieceBytes = 256 * 1024

/**
 * Decodes a bzip2 file, given and returned in pieces; what is no complete bzip2 file throws a `BadNarError`. A block is decoded at
 * once, in this thread, and 40 bytes of it can make 46 MB: so much memory a bomb takes. After `maxBytes` it is stopped.
 */
export async function* decodeBzip2(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const blocks = new Blocks(maxBytes)
  for await (const chunk of body) {
    blocks.add(chunk)
    while (blocks.hasBlock) yield* blocks.next()
  }
  while (blocks.hasBytes) yield* blocks.next()
  if (blocks.isInsideStream) throw undecodable('the bzip2 file ends inside a stream')
}

class Blocks {
  readonly #queue: Uint8Array[] = []
  readonly #maxBytes: number
  #bits: ReturnType<typeof bitIterator> | null = null
  #received = 0
  #produced = 0
  /** In units; 0 between two streams. */
  #blockSize = 0
  #crc: number | null = null

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get hasBytes(): boolean {
    return this.#received > this.#read
  }

  get hasBlock(): boolean {
    return this.#received - this.#read + 1 >= blockHeaderBytes + blockUnitBytes * this.#blockSize
  }

  get isInsideStream(): boolean {
    return this.#crc !== null
  }

  add(chunk: Uint8Array): void {
    this.#queue.push(chunk)
    this.#received += chunk.length
  }

  /** The pieces of the next block; none where a stream begins or ends. */
  next(): readonly Uint8Array[] {
    const pieces: Buffer[] = []
    try {
      this.#bits ??= bitIterator(() => this.#nextChunk())
      if (this.#blockSize === 0) {
        this.#blockSize = bzip2.header(this.#bits)
        this.#crc = 0
      } else {
        this.#decodeBlock(this.#bits, pieces)
      }
    } catch (error) {
      if (error instanceof BadNarError) throw error
      throw undecodable('not a bzip2 file', error)
    }
    return pieces
  }

  get #read(): number {
    return this.#bits?.bytesRead ?? 0
  }

  #decodeBlock(bits: ReturnType<typeof bitIterator>, pieces: Buffer[]): void {
    const blockBytes = blockUnitBytes * this.#blockSize
    let piece = Buffer.alloc(0)
    let filled = 0
    const onByte = (byte: number): void => {
      if (filled === piece.length) {
        this.#count(piece.length)
        piece = Buffer.allocUnsafe(pieceBytes)
        pieces.push(piece)
        filled = 0
      }
      piece[filled++] = byte
    }
    this.#crc = bzip2.decompress(bits, onByte, new Int32Array(blockBytes), blockBytes, this.#crc)
    this.#count(filled)
    if (pieces.length > 0) pieces.push((pieces.pop() ?? piece).subarray(0, filled))
    if (this.#crc === null) this.#blockSize = 0
  }

  #count(bytes: number): void {
    this.#produced += bytes
    if (this.#produced > this.#maxBytes) throw new BadNarError('too-long', 'a bzip2 bomb')
  }

  #nextChunk(): Uint8Array {
    const chunk = this.#queue.shift()
    if (chunk === undefined) throw undecodable('the bzip2 file ends inside a block')
    return chunk
  }
}

function undecodable(message: string, cause?: unknown): BadNarError {
  return new BadNarError('undecodable', message, { cause })
}
