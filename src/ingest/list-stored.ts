import type { Compression } from '../nix/compression.ts'
import { NarError } from '../nix/nar.ts'
import { createNarLister, NarListingError } from '../nix/nar-listing.ts'
import type { ListOutcome, PromisedNar } from '../ports/nar-reader.ts'
import { BadNarError } from './bad-nar-error.ts'
import { decodeNar } from './decode-nar.ts'
import { NarVerifier } from './nar-verifier.ts'
import { type Readable, storedPieces } from './stored-pieces.ts'
import { saysNothing } from './verify-stored.ts'

/** Lists a stored NAR, and holds it against its NarHash meanwhile: no listing is made of a file that was damaged on disk. */
export async function listStored(
  file: Readable,
  compression: Compression,
  { storePath, narHash, narSize }: PromisedNar,
): Promise<ListOutcome> {
  const bytes = Number(narSize)
  const verifier = new NarVerifier({
    ...{ storePathHash: storePath.hash, narHash, narSize: bytes, ca: null },
  })
  const lister = createForgivingLister()
  try {
    for await (const piece of decodeNar(compression, storedPieces(file), bytes)) {
      verifier.update(piece)
      lister.write(piece)
    }
    verifier.check()
  } catch (error) {
    if (saysNothing(error)) throw error
    return { kind: 'corrupt', why: error instanceof BadNarError ? error.message : String(error) }
  }
  return lister.end()
}

/** A lister that keeps what is wrong with the NAR for the end: whether it is so, or the file is damaged, its hash will tell. */
function createForgivingLister() {
  const lister = createNarLister()
  const failures: string[] = []
  const attempt = <Value>(step: () => Value): Value | null => {
    if (failures.length > 0) return null
    try {
      return step()
    } catch (error) {
      if (!(error instanceof NarError || error instanceof NarListingError)) throw error
      failures.push(error.message)
      return null
    }
  }
  return {
    write: (piece: Uint8Array): void => {
      attempt(() => {
        lister.write(piece)
      })
    },
    end: (): ListOutcome => {
      const listing = attempt(() => lister.end())
      return listing === null
        ? { kind: 'unlistable', why: failures.join() }
        : { kind: 'listed', listing }
    },
  }
}
