import type { Compression } from '../nix/compression.ts'
import type { NarPart } from '../ports/nar-reader.ts'
import { BadNarError } from './bad-nar-error.ts'
import { decodeNar } from './decode-nar.ts'
import { type Readable, storedPieces } from './stored-pieces.ts'

/** The bytes of a part of a stored NAR; a `BadNarError` where the NAR breaks or ends before they are complete. */
export async function* readStored(
  file: Readable,
  compression: Compression,
  { offset, size }: NarPart,
): AsyncGenerator<Uint8Array> {
  const end = offset + size
  if (size === 0) return
  let at = 0
  for await (const piece of decodeNar(compression, storedPieces(file), Infinity)) {
    const wanted = piece.subarray(Math.max(0, offset - at), Math.max(0, end - at))
    at += piece.length
    if (wanted.length > 0) yield wanted
    if (at >= end) return
  }
  throw new BadNarError('too-short', `the NAR ends before byte ${end}`)
}
