import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ActionName, Actions } from '../../admin/actions.ts'
import { callersMistake } from '../../admin/callers-mistake.ts'
import { fetchWanted } from '../../admin/fetch-wanted.ts'
import type { Pinning, PinReport } from '../../admin/pins.ts'
import type { Log } from '../../ports/log.ts'
import { accessOf, wrongToken } from './api-access.ts'
import { apiHeaders, replyJson, replyProblem, replyUnauthorised } from './api-reply.ts'
import { clientOf } from '../client.ts'
import { readBody } from '../read-body.ts'
import { sendLines } from '../routes/send-lines.ts'

export type ActionRouteDeps = {
  readonly actions: Actions
  readonly pinning: Pick<Pinning, 'fetch'>
  readonly isAdmin: (token: string) => boolean
  /** Whether actions are taken at all. */
  readonly takesActions: () => boolean
  readonly log: Log
}

const maxBodyBytes = 64 * 1024
const maxLoggedCharacters = 1000

/** `POST /api/v1/…`: what only who has the admin token may change. JSON in, and JSON out; a mistake of the caller's is thrown. */
export async function answerAction(
  deps: ActionRouteDeps,
  request: IncomingMessage,
  response: ServerResponse,
  action: ActionName,
  signal: AbortSignal,
): Promise<void> {
  if (!mayAct(deps, request, response, action)) return
  const given = await bodyOf(request, response)
  if (given === undefined) return
  const client = clientOf(request)
  const asked = JSON.stringify(given).slice(0, maxLoggedCharacters)
  deps.log.warn({ event: 'admin.action', action, client, asked })
  if (action === 'pin') await pin(deps, response, given, signal)
  else replyJson(response, await deps.actions[action](given))
}

function mayAct(
  { isAdmin, takesActions, log }: ActionRouteDeps,
  request: IncomingMessage,
  response: ServerResponse,
  action: ActionName,
): boolean {
  if (!takesActions()) {
    replyProblem(response, 403, 'admin actions are not taken here: [server] admin_api says where')
    return false
  }
  const access = accessOf(request, isAdmin)
  if (access === 'admin') return true
  if (access === 'wrong-token') {
    log.warn({ event: 'admin.refused', action, client: clientOf(request) })
  }
  const missing = 'this needs the admin token: Authorization: Bearer …'
  replyUnauthorised(response, access === 'wrong-token' ? wrongToken : missing)
  return false
}

/** The JSON of a request's body; `undefined` where it was answered that there is none. */
async function bodyOf(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/json *(;|$)/i.test(type)) {
    replyProblem(response, 415, 'say what is to be done in JSON, content-type: application/json')
    return undefined
  }
  if (request.headers.expect !== undefined) response.writeContinue()
  const text = await readBody(request, maxBodyBytes)
  if (text === null) {
    replyProblem(response, 413, `a request has at most ${maxBodyBytes} bytes`)
    return undefined
  }
  try {
    return JSON.parse(text)
  } catch {
    replyProblem(response, 400, 'that is not JSON')
    return undefined
  }
}

/** The report first, then a line for each path that is fetched: that may take long. */
async function pin(
  { actions, pinning, log }: ActionRouteDeps,
  response: ServerResponse,
  given: unknown,
  signal: AbortSignal,
): Promise<void> {
  const report = await actions.pin(given)
  for (const [name, value] of Object.entries(apiHeaders)) response.setHeader(name, String(value))
  await sendLines(response, pinLines(report, pinning, signal), (error) => {
    const mistake = callersMistake(error)
    if (mistake !== null) return mistake
    if (!signal.aborted) log.error({ event: 'request.failed', err: error })
    return 'Weir failed: see its log'
  })
}

async function* pinLines(
  report: PinReport,
  pinning: Pick<Pinning, 'fetch'>,
  signal: AbortSignal,
): AsyncGenerator {
  yield report
  yield* fetchWanted(pinning, report.wanted, signal)
}
