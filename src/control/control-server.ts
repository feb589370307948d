import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isCallersMistake } from '../admin/callers-mistake.ts'
import type { StoredFiles } from '../admin/stored-files.ts'
import type { Pinning } from '../admin/pins.ts'
import type { NetworkState } from '../ports/network-state.ts'
import { reply } from '../http/reply.ts'
import type { Log } from '../ports/log.ts'
import type { Upkeep } from '../upkeep/upkeep.ts'
import { Lines, receive, type ReceivedRequest } from './control-request.ts'
import { answerFiles } from './file-routes.ts'
import { answerPins } from './pin-routes.ts'
import { answerPolicy, type PolicyRouteDeps } from './policy-routes.ts'
import { sendLines } from '../http/routes/send-lines.ts'
import { answerUpkeep } from './upkeep-routes.ts'

/** What a running Weir says of itself on its control socket. */
export type Status = {
  readonly version: string
  readonly pid: number
  /** Seconds. */
  readonly uptimeSeconds: number
  /** `http://…` or `unix:…` */
  readonly address: string
  /** `name:base64` */
  readonly publicKey: string
  readonly configuration: string
  readonly cache: {
    readonly dir: string
    readonly nars: number
    readonly bytes: number
    readonly limitBytes: number
    /** Whether new NARs are kept: where they cannot be written they are handed on only. */
    readonly isStoring: boolean
  }
  readonly upstreams: readonly string[]
  /** Whether upstreams are asked; `all-down`: none of them answers. */
  readonly network: NetworkState
  readonly policy: {
    readonly epoch: string
    readonly enforce: boolean
    readonly rules: number
    readonly blocks: number
    readonly suspended: readonly string[]
  }
}

export type ControlDeps = PolicyRouteDeps & {
  readonly files: StoredFiles
  readonly pinning: Pinning
  readonly upkeep: Upkeep
  readonly status: () => Status
  readonly log: Log
  /** Aborted when Weir ends: what goes on for long ends with it. */
  readonly ending: AbortSignal
}

/**
 * The server behind `control.sock`: who can open the socket is its owner, and may ask and change everything. Answers are JSON, or lines
 * of JSON where they come bit by bit, but for the bytes of files; mistakes are `{ "error": … }` with status 422.
 */
export function createControlServer(deps: ControlDeps): Server {
  return createServer((request, response) => {
    answer(deps, request, response).catch((error: unknown) => {
      if (response.destroyed) return
      const isMistake = isCallersMistake(error)
      if (!isMistake) deps.log.error({ event: 'control.failed', err: error })
      if (response.headersSent) response.destroy()
      else replyJson(response, isMistake ? 422 : 500, { error: messageOf(error) })
    })
  })
}

async function answer(
  deps: ControlDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (await answerFiles(deps.files, request, response)) return
  const gone = new AbortController()
  response.on('close', () => {
    gone.abort()
  })
  const signal = AbortSignal.any([gone.signal, deps.ending])
  const value = await valueOf(deps, await receive(request, signal))
  if (value === undefined) replyJson(response, 404, { error: 'not here' })
  else if (value instanceof Lines) await stream(deps, response, value, gone.signal)
  else replyJson(response, 200, value)
}

/** The answer's value; `undefined` where there is no such request. */
function valueOf(deps: ControlDeps, request: ReceivedRequest): unknown {
  if (request.route === 'GET /status') return deps.status()
  return (
    answerPolicy(deps, request) ??
    answerPins(deps.pinning, request) ??
    answerUpkeep(deps.upkeep, request)
  )
}

async function stream(
  { log, ending }: ControlDeps,
  response: ServerResponse,
  { items }: Lines,
  gone: AbortSignal,
): Promise<void> {
  try {
    await sendLines(response, items, (error) => {
      if (ending.aborted) return 'the running Weir ends'
      if (!gone.aborted) log.error({ event: 'control.failed', err: error })
      return messageOf(error)
    })
  } catch (error) {
    // Whoever hangs up has heard enough.
    if (!gone.aborted) throw error
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function replyJson(response: ServerResponse, status: number, value: unknown): void {
  reply(response, status, { 'content-type': 'application/json' }, JSON.stringify(value))
}
