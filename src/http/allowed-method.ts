import type { IncomingMessage, ServerResponse } from 'node:http'
import { replyProblem } from './api/api-reply.ts'
import { replyText } from './reply.ts'
import type { Route } from './route.ts'

/** Whether a request has its route's method; else it is answered which one that is. */
export function hasMethodOf(
  { kind }: Route,
  { method = '' }: IncomingMessage,
  response: ServerResponse,
): boolean {
  const allowed = kind === 'api-action' ? ['POST'] : ['GET', 'HEAD']
  if (allowed.includes(method)) return true
  const headers = { allow: allowed.join(', '), connection: 'close' }
  if (isOfApi(kind)) replyProblem(response, 405, `this takes ${headers.allow}`, headers)
  else replyText(response, 405, 'Weir takes no uploads', headers)
  return false
}

function isOfApi(kind: Route['kind']): boolean {
  return kind === 'explain' || kind.startsWith('api')
}
