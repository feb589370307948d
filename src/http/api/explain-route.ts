import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Admin } from '../../admin/admin.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import { accessOf, wrongToken } from './api-access.ts'
import { replyJson, replyUnauthorised } from './api-reply.ts'
import { clientOf } from '../client.ts'

export type ExplainRouteDeps = {
  readonly admin: Pick<Admin, 'explain'>
  readonly isAdmin: (token: string) => boolean
}

/**
 * `GET /api/v1/explain/<hash>`: the verdict and its reason, with what each upstream claims, and what the client itself was given. With the
 * admin token (`Authorization: Bearer …`) what everybody was given too, and with `?live` the upstreams are asked now.
 */
export async function answerExplain(
  { admin, isAdmin }: ExplainRouteDeps,
  request: IncomingMessage,
  response: ServerResponse,
  { hash, isLive }: { readonly hash: StorePathHash; readonly isLive: boolean },
): Promise<void> {
  const access = accessOf(request, isAdmin)
  if (access === 'wrong-token') {
    replyUnauthorised(response, wrongToken)
    return
  }
  if (isLive && access !== 'admin') {
    const why = 'asking the upstreams needs the admin token: Authorization: Bearer …'
    replyUnauthorised(response, why)
    return
  }
  const to = access === 'admin' ? 'all' : { client: clientOf(request) }
  replyJson(response, await admin.explain(hash, { live: isLive, to }))
}
