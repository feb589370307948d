import type { NarFileKey } from '../../nix/nar-key.ts'
import type { NarBody } from '../fetching/nar-body.ts'
import type { PartialBodies } from './partial-bodies.ts'
import { TransferBrokenError } from '../fetching/transfer.ts'

/** The bodies that are being handed out, so that a recall reaches those who are still reading. */
export type ServedBodies = {
  /**
   * A body that breaks off once `isTrusted` says no, at a change of the policy; `key` is whose it is. `left` is called once nobody reads it
   * any more.
   */
  watch(key: NarFileKey, body: NarBody, isTrusted: () => boolean, left?: () => void): NarBody
  /** Breaks off those that are trusted no more; returns how many. */
  policyChanged(): number
}

type Watched = { readonly isTrusted: () => boolean; isCut: boolean }

export function createServedBodies(partial: Pick<PartialBodies, 'note'>): ServedBodies {
  const watched = new Set<Watched>()
  return {
    watch(key, body, isTrusted, left = () => undefined) {
      let handedOut = 0
      let isWhole = false
      const entry: Watched = { isTrusted, isCut: false }
      watched.add(entry)
      const check = (): void => {
        if (entry.isCut) throw new TransferBrokenError('the NAR was recalled')
      }
      return {
        get etag() {
          return body.etag
        },
        get size() {
          return body.size
        },
        wholeSize: async (signal) => {
          const size = await body.wholeSize(signal)
          check()
          return size
        },
        read: async (buffer, position, signal) => {
          const read = await body.read(buffer, position, signal)
          check()
          handedOut += read
          isWhole ||= read === 0 || position + read === body.size
          return read
        },
        async [Symbol.asyncDispose]() {
          watched.delete(entry)
          left()
          if (handedOut > 0 && !isWhole) partial.note(key, body.etag)
          await body[Symbol.asyncDispose]()
        },
      }
    },
    policyChanged() {
      let cut = 0
      for (const entry of watched) {
        if (entry.isCut || entry.isTrusted()) continue
        entry.isCut = true
        cut += 1
      }
      return cut
    },
  }
}
