import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Admin } from '../admin/admin.ts'
import type { Explanation } from '../admin/explanation.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import { clientOf } from './client.ts'
import { reply, replyText } from './reply.ts'

export type ExplainRouteDeps = {
  readonly admin: Pick<Admin, 'explain'>
  readonly isAdmin: (token: string) => boolean
}

/**
 * `GET /api/v1/explain/<hash>`: the verdict and its reason, and what the client itself was given. With the admin's token
 * (`Authorization: Bearer …`) everything, and with `?live` the upstreams are asked now.
 */
export async function answerExplain(
  { admin, isAdmin }: ExplainRouteDeps,
  request: IncomingMessage,
  response: ServerResponse,
  { hash, isLive }: { readonly hash: StorePathHash; readonly isLive: boolean },
): Promise<void> {
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null
  const isTrusted = token !== null && isAdmin(token)
  if (token !== null && !isTrusted) {
    replyText(
      response,
      401,
      'this is not the admin token: it is in the file admin-token in state.dir',
      {
        'www-authenticate': 'Bearer',
      },
    )
    return
  }
  if (isLive && !isTrusted) {
    replyText(
      response,
      401,
      'asking the upstreams needs the admin token: Authorization: Bearer …',
      {
        'www-authenticate': 'Bearer',
      },
    )
    return
  }
  const to = isTrusted ? 'all' : { client: clientOf(request) }
  const explanation = await admin.explain(hash, { live: isLive, to })
  const shown = isTrusted ? explanation : forEverybody(explanation)
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  reply(response, 200, headers, `${JSON.stringify(shown, null, 2)}\n`)
}

function forEverybody(explanation: Explanation) {
  const { hash, path, policy, verdict, reason, upstream, rule, wouldRefuse, served } = explanation
  return { hash, path, policy, verdict, reason, upstream, rule, wouldRefuse, served }
}
