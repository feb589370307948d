import { createZstdDecompress } from 'node:zlib'
import type { Narinfo } from '../nix/narinfo.ts'
import type { NarFile } from '../ports/nar-store.ts'
import { BadNarError } from './bad-nar-error.ts'
import { wholeFrames } from './decode-nar.ts'
import { NarVerifier } from './nar-verifier.ts'
import { PushStream, rethrowUndecodable } from './push-stream.ts'

const pieceBytes = 256 * 1024

/** Whether a stored zstd file is whole, and holds exactly the NAR of a trusted claim. Throws where it cannot be read. */
export async function verifyStored(file: NarFile, narinfo: Narinfo): Promise<boolean> {
  const verifier = new NarVerifier({
    storePathHash: narinfo.storePath.hash,
    narHash: narinfo.narHash,
    narSize: Number(narinfo.narSize),
    ca: narinfo.ca,
  })
  using decoder = new PushStream(createZstdDecompress({ chunkSize: pieceBytes }), (piece) => {
    verifier.update(piece)
  })
  try {
    for await (const frame of wholeFrames(pieces(file))) {
      await decoder.write(frame).catch(rethrowUndecodable)
    }
    await decoder.end().catch(rethrowUndecodable)
    verifier.check()
    return true
  } catch (error) {
    if (error instanceof BadNarError) return false
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
