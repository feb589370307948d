import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StorePathHash } from '../nix/store-path.ts'
import type { ReadAhead } from '../substituter/read-ahead.ts'
import type { Substituter } from '../substituter/substituter.ts'
import { clientOf } from './client.ts'
import type { HttpMeter } from './http-meter.ts'
import { replyNoClaim } from './no-claim.ts'
import { headerText, reply } from './reply.ts'

/** `GET /<hash>.narinfo` */
export async function answerNarinfo(
  deps: {
    readonly substituter: Substituter
    readonly readAhead: Pick<ReadAhead, 'noted'>
    readonly meter: HttpMeter
  },
  request: IncomingMessage,
  response: ServerResponse,
  hash: StorePathHash,
): Promise<void> {
  const client = clientOf(request)
  const answer = await deps.substituter.narinfo(hash, client)
  if (answer.kind !== 'found') {
    deps.meter.answered('narinfo', replyNoClaim(response, answer), '')
    return
  }
  if (!answer.isStored && request.method === 'GET') deps.readAhead.noted(client, hash)
  deps.meter.answered('narinfo', answer.isStored ? 'hit' : 'miss', answer.upstream)
  const headers = {
    'content-type': 'text/x-nix-narinfo',
    'x-weir-verdict': 'trusted',
    'x-weir-upstream': answer.upstream,
    ...(answer.rule === null ? {} : { 'x-weir-rule': headerText(answer.rule) }),
    ...(answer.wouldRefuse === null ? {} : { 'x-weir-would-refuse': answer.wouldRefuse }),
  }
  reply(response, 200, headers, answer.body)
}
