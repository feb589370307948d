import type { Pinning } from '../admin/pins.ts'
import { parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { BadRequestError } from './bad-request-error.ts'

/** Answers what is asked about pins; `undefined` for any other request. */
export async function answerPins(pinning: Pinning, route: string, url: URL): Promise<unknown> {
  switch (route) {
    case 'GET /pins':
      return pinning.list()
    case 'POST /pin':
      return pinning.pin(hashOf(url))
    case 'POST /pin-fetch':
      return pinning.fetch(hashOf(url))
    case 'POST /unpin':
      return { path: await pinning.unpin(hashOf(url)) }
    default:
      return undefined
  }
}

function hashOf(url: URL): StorePathHash {
  const hash = parseStorePathHash(url.searchParams.get('hash') ?? '')
  if (hash === null) throw new BadRequestError('hash: 32 characters of a store path')
  return hash
}
