import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

/** Bytes that can be read from any offset, any number of times, without being held in memory. */
export type BodySource = {
  readonly size: number
  /** Yields the bytes from `start` up to but not including `end`, in pieces of at most `pieceBytes`. */
  readonly read: (start: number, end: number, pieceBytes: number) => AsyncIterable<Buffer>
  /** A stable tag for a file's content; null for what was made up. */
  readonly etag: string | null
}

/** Reads from memory. */
export function bufferSource(content: string | Buffer): BodySource {
  const buffer = Buffer.from(content)
  return {
    size: buffer.length,
    etag: null,
    async *read(start, end, pieceBytes) {
      for (let at = start; at < end; at += pieceBytes) {
        yield buffer.subarray(at, Math.min(end, at + pieceBytes))
      }
    },
  }
}

/** Reads from a file; null if there is none. */
export async function fileSource(file: string): Promise<BodySource | null> {
  const stats = await stat(file).catch(() => null)
  if (!stats?.isFile()) return null
  return {
    size: stats.size,
    etag: `"${stats.size.toString(36)}-${Math.trunc(stats.mtimeMs).toString(36)}"`,
    async *read(start, end, pieceBytes) {
      if (end <= start) return
      const options = { start, end: end - 1, highWaterMark: pieceBytes }
      for await (const piece of createReadStream(file, options)) yield piece as Buffer
    },
  }
}

/** The same bytes with one bit flipped. */
export function corruptSource(
  source: BodySource,
  at: 'first' | 'middle' | 'last' | number,
): BodySource {
  const places = { first: 0, middle: Math.floor(source.size / 2), last: source.size - 1 }
  const offset = typeof at === 'number' ? at : places[at]
  return {
    ...source,
    async *read(start, end, pieceBytes) {
      let position = start
      for await (const piece of source.read(start, end, pieceBytes)) {
        const index = offset - position
        position += piece.length
        if (index < 0 || index >= piece.length) {
          yield piece
          continue
        }
        const corrupted = Buffer.from(piece)
        corrupted.writeUInt8(piece.readUInt8(index) ^ 1, index)
        yield corrupted
      }
    },
  }
}

/** Its first bytes. */
export function shortSource(source: BodySource, bytes: number): BodySource {
  return { ...source, size: Math.min(bytes, source.size) }
}

/** All of it, in memory; empty if there is none. */
export async function readSource(source: BodySource | null): Promise<Buffer> {
  if (source === null) return Buffer.alloc(0)
  const pieces: Buffer[] = []
  for await (const piece of source.read(0, source.size, 65_536)) pieces.push(piece)
  return Buffer.concat(pieces)
}
