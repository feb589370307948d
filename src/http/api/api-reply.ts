import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { callersMistake } from '../../admin/callers-mistake.ts'
import { reply } from '../reply.ts'

export const apiHeaders: OutgoingHttpHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
}

/** Answers with JSON that nobody keeps. */
export function replyJson(response: ServerResponse, value: unknown): void {
  const headers = { ...apiHeaders, 'content-type': 'application/json' }
  reply(response, 200, headers, `${JSON.stringify(value)}\n`)
}

/** Answers with what is wrong, in a sentence. */
export function replyProblem(
  response: ServerResponse,
  status: number,
  error: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const all = { ...apiHeaders, 'content-type': 'application/json', ...headers }
  reply(response, status, all, `${JSON.stringify({ error })}\n`)
}

/** Answers that the admin token is needed, or is another one. */
export function replyUnauthorised(response: ServerResponse, error: string): void {
  replyProblem(response, 401, error, { 'www-authenticate': 'Bearer' })
}

/** Answers as `act` does; a mistake of who asks is answered in a sentence. */
export async function orProblem(response: ServerResponse, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    const mistake = callersMistake(error)
    if (mistake === null || response.headersSent) throw error
    replyProblem(response, 400, mistake)
  }
}
