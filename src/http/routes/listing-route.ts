import type { ServerResponse } from 'node:http'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Listings } from '../../substituter/listings.ts'
import { replyNoClaim } from './no-claim.ts'
import { headerText, reply, replyText } from '../reply.ts'

/** `GET /<hash>.ls` */
export async function answerListing(
  listings: Listings,
  response: ServerResponse,
  hash: StorePathHash,
  signal: AbortSignal,
): Promise<void> {
  const answer = await listings.list(hash, signal)
  switch (answer.kind) {
    case 'found': {
      const { listing, answer: trusted } = answer
      const { rule } = trusted.verdict
      const headers = {
        'content-type': 'application/json',
        'x-content-type-options': 'nosniff',
        'x-weir-verdict': 'trusted',
        'x-weir-upstream': trusted.claim.upstream,
        ...(rule === null ? {} : { 'x-weir-rule': headerText(rule.name) }),
      }
      const { buffer, byteOffset, length } = listing
      reply(response, 200, headers, Buffer.from(buffer, byteOffset, length))
      return
    }
    case 'not-stored':
      replyText(response, 404, 'this path is not stored here: fetch its NAR, and it has a listing')
      return
    case 'unlistable':
      replyText(response, 404, `this path has no listing: ${answer.why}`)
      return
    case 'absent':
    case 'unknown':
      replyNoClaim(response, answer)
  }
}
