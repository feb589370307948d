import type { Pinning } from '../admin/pins.ts'
import { parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { BadRequestError } from '../admin/bad-request-error.ts'
import type { ReceivedRequest } from './control-request.ts'

/** Answers what is asked about pins; `undefined` for any other request. */
export function answerPins(pinning: Pinning, { route, url }: ReceivedRequest): unknown {
  switch (route) {
    case 'GET /pins':
      return pinning.list()
    case 'POST /pin-fetch':
      return pinning.fetch(hashOf(url))
    default:
      return undefined
  }
}

function hashOf(url: URL): StorePathHash {
  const hash = parseStorePathHash(url.searchParams.get('hash') ?? '')
  if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
  return hash
}
