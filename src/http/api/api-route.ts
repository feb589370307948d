import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Activity, Decision, RunningNar } from '../../activity/activity.ts'
import type { PlainPolicy } from '../../admin/plain-policy.ts'
import { accessOf, wrongToken } from './api-access.ts'
import type { ApiReading } from './api-endpoints.ts'
import {
  decisionsParameters,
  noParameters,
  pathsParameters,
  readParameters,
} from './api-parameters.ts'
import { replyJson, replyUnauthorised } from './api-reply.ts'
import { clientOf } from '../client.ts'

export type ApiDeps = {
  readonly activity: Activity
  readonly plainPolicy: () => PlainPolicy
  readonly isAdmin: (token: string) => boolean
  /** Whether everybody may see what Weir is doing. */
  readonly isPublic: () => boolean
}

type Asking = {
  /** Under which address Weir was asked. */
  readonly origin: string
  readonly client: string
  readonly isAdmin: boolean
  readonly signal: AbortSignal
}

type Asked = { readonly reading: ApiReading; readonly query: string }

/** `GET /api/v1/…`: what Weir is doing. Addresses of clients are for who has the admin token; a mistake is a `BadRequestError`. */
export async function answerApi(
  deps: ApiDeps,
  request: IncomingMessage,
  response: ServerResponse,
  asked: Asked,
  signal: AbortSignal,
): Promise<void> {
  const access = accessOf(request, deps.isAdmin)
  if (access === 'wrong-token') {
    replyUnauthorised(response, wrongToken)
    return
  }
  const isAdmin = access === 'admin'
  if (!isAdmin && !deps.isPublic() && asked.reading !== 'openapi.json') {
    replyUnauthorised(response, 'this needs the admin token: [server] page is false')
    return
  }
  const asking = { origin: originOf(request), client: clientOf(request), isAdmin, signal }
  const value = await valueOf(deps, asked, asking)
  replyJson(response, value)
}

async function valueOf(
  { activity, plainPolicy }: ApiDeps,
  { reading, query }: Asked,
  { origin, client, isAdmin, signal }: Asking,
): Promise<object> {
  if (reading === 'decisions') {
    const { after, limit } = readParameters(decisionsParameters, query)
    const decisions = activity.decisions(after, limit)
    return { decisions: isAdmin ? decisions : decisions.map(withoutClient) }
  }
  if (reading === 'paths') {
    const { q, after, limit } = readParameters(pathsParameters, query)
    return activity.paths({ text: q, after, limit }, signal, client)
  }
  readParameters(noParameters, query)
  switch (reading) {
    case 'overview':
      return activity.overview(origin)
    case 'traffic':
      return activity.traffic()
    case 'transfers': {
      const transfers = activity.transfers()
      return { transfers: isAdmin ? transfers : transfers.map(withoutClients) }
    }
    case 'policy':
      return plainPolicy()
    case 'openapi.json':
      // Seldom asked, and its schemas take their time.
      return (await import('./openapi.ts')).openApiDocument()
  }
}

/** The address that was asked, for a client's nix.conf. */
export function originOf({ headers }: Pick<IncomingMessage, 'headers'>): string {
  return URL.parse(`http://${headers.host ?? ''}`)?.origin ?? 'http://localhost'
}

function withoutClient({ client: _, ...decision }: Decision): Decision {
  return decision
}

function withoutClients({ clients: _, ...transfer }: RunningNar): RunningNar {
  return transfer
}
