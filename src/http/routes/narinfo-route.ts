import type { IncomingMessage, ServerResponse } from 'node:http'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { ReadAhead } from '../../substituter/read-ahead.ts'
import type { Substituter } from '../../substituter/substituter.ts'
import { clientOf } from '../client.ts'
import type { HttpMeter } from '../../ports/http-meter.ts'
import { replyNoClaim } from './no-claim.ts'
import { headerText, reply } from '../reply.ts'

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
    deps.meter.answered({ object: 'narinfo', hash, client, ...replyNoClaim(response, answer) })
    return
  }
  if (!answer.isStored && request.method === 'GET') deps.readAhead.noted(client, hash)
  const { path, upstream, rule, wouldRefuse } = answer
  const result = answer.isStored ? 'hit' : 'miss'
  const counted = { object: 'narinfo', result, upstream } as const
  deps.meter.answered({ ...counted, hash, client, path, rule, reason: wouldRefuse })
  if (request.method === 'GET') deps.meter.bodySent(counted, Buffer.byteLength(answer.body))
  const headers = {
    'content-type': 'text/x-nix-narinfo',
    'x-weir-verdict': 'trusted',
    'x-weir-upstream': upstream,
    ...(rule === null ? {} : { 'x-weir-rule': headerText(rule) }),
    ...(wouldRefuse === null ? {} : { 'x-weir-would-refuse': wouldRefuse }),
  }
  reply(response, 200, headers, answer.body)
}
