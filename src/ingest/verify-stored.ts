import type { DecodableCompression } from '../nix/compression.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import type { NarFile } from '../ports/nar-store.ts'
import { BadNarError } from './bad-nar-error.ts'
import { readNar } from './decode-nar.ts'
import { NarVerifier } from './nar-verifier.ts'

const pieceBytes = 256 * 1024

/** Whether a stored file is whole, and holds exactly the NAR of a trusted claim. Throws where it cannot be read. */
export async function verifyStored(
  file: NarFile,
  compression: DecodableCompression,
  narinfo: Narinfo,
): Promise<boolean> {
  const narSize = Number(narinfo.narSize)
  const verifier = new NarVerifier({
    storePathHash: narinfo.storePath.hash,
    narHash: narinfo.narHash,
    narSize,
    ca: narinfo.ca,
  })
  try {
    await readNar(compression, pieces(file), narSize, (piece) => {
      verifier.update(piece)
    })
    verifier.check()
    return true
  } catch (error) {
    // Want of memory says nothing of the file.
    if (error instanceof BadNarError && error.code !== 'out-of-memory') return false
    throw error
  }
}

async function* pieces(file: NarFile): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    const buffer = Buffer.allocUnsafe(pieceBytes)
    const read = await file.read(buffer, at)
    if (read === 0) return
    yield buffer.subarray(0, read)
    at += read
  }
}
