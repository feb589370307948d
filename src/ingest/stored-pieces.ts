import type { NarFile } from '../ports/nar-store.ts'

/** A file that can be read anywhere. */
export type Readable = Pick<NarFile, 'read'>

const pieceBytes = 256 * 1024

/** A stored file from its start to its end, each piece in a buffer of its own. */
export async function* storedPieces(file: Readable): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    const buffer = Buffer.allocUnsafeSlow(pieceBytes)
    const read = await file.read(buffer, at)
    if (read === 0) return
    yield buffer.subarray(0, read)
    at += read
  }
}
