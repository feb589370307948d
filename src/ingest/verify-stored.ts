import type { Compression } from '../nix/compression.ts'
import type { PromisedNar } from '../ports/nar-reader.ts'
import { BadNarError } from './bad-nar-error.ts'
import { decodeNar } from './decode-nar.ts'
import { NarVerifier } from './nar-verifier.ts'
import { type Readable, storedPieces } from './stored-pieces.ts'

/** Whether a stored file is whole, and holds exactly the NAR of a trusted claim. Throws where it cannot be read. */
export async function verifyStored(
  file: Readable,
  compression: Compression,
  { storePath, narHash, narSize, ca }: PromisedNar,
): Promise<boolean> {
  const bytes = Number(narSize)
  const verifier = new NarVerifier({
    ...{ storePathHash: storePath.hash, narHash, narSize: bytes, ca },
  })
  try {
    for await (const piece of decodeNar(compression, storedPieces(file), bytes)) {
      verifier.update(piece)
    }
    verifier.check()
    return true
  } catch (error) {
    if (saysNothing(error)) throw error
    return false
  }
}

/** Whether an error tells nothing of the file: only a `BadNarError` does, and not one for want of memory. */
export function saysNothing(error: unknown): boolean {
  return !(error instanceof BadNarError) || error.code === 'out-of-memory'
}
