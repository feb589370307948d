import type { NarFileKey } from '../nix/nar-key.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { NarPart } from '../ports/nar-reader.ts'
import type { ListingAnswer, Listings } from '../substituter/listings.ts'

/** A stored path, and what is in it. */
export type ListedPath = {
  /** `<hash>-<name>` */
  readonly baseName: string
  readonly key: NarFileKey
  /** The `.ls` file. */
  readonly listing: Uint8Array
}

/** A look into what is stored, for operators; what cannot be shown throws a `NotShownError`. */
export type StoredFiles = {
  list(hash: StorePathHash, signal: AbortSignal): Promise<ListedPath>
  /** A part of a NAR that was listed. */
  read(key: NarFileKey, part: NarPart, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

/** What is not shown, and why; the message is for people. */
export class NotShownError extends Error {
  override readonly name = 'NotShownError'
}

export function createStoredFiles(listings: Listings): StoredFiles {
  return {
    async list(hash, signal) {
      const answer = await listings.list(hash, signal)
      if (answer.kind !== 'found') throw new NotShownError(describe(hash, answer))
      const { listing, key } = answer
      return { baseName: answer.answer.verdict.narinfo.storePath.baseName, key, listing }
    },
    async read(key, part, signal) {
      const bytes = await listings.read(key, part, signal)
      if (bytes === null) {
        throw new NotShownError(`${key.storePathHash} went away, or is not trusted any more`)
      }
      return bytes
    },
  }
}

function describe(
  hash: StorePathHash,
  answer: Exclude<ListingAnswer, { readonly kind: 'found' }>,
): string {
  switch (answer.kind) {
    case 'not-stored':
      return `${hash} is not stored: have a client fetch it through Weir first, for instance with nix-store --realise`
    case 'unlistable':
      return `what is in ${hash} cannot be listed: ${answer.why}`
    case 'absent':
      return `${hash} is stored and not trusted: weir explain ${hash} says why`
    case 'unknown':
      return `${hash} is stored, and whether it is trusted could not be told: weir explain ${hash} says why`
  }
}
