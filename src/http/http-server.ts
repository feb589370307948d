import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Log } from '../ports/log.ts'
import type { BuildLogs } from '../substituter/build-logs.ts'
import type { Listings } from '../substituter/listings.ts'
import type { ReadAhead } from '../substituter/read-ahead.ts'
import type { Realisations } from '../substituter/realisations.ts'
import type { Substituter } from '../substituter/substituter.ts'
import { TransferBrokenError } from '../substituter/transfer.ts'
import { clientOf } from './client.ts'
import { answerExplain, type ExplainRouteDeps } from './explain-route.ts'
import type { HttpMeter } from '../ports/http-meter.ts'
import { answerListing } from './listing-route.ts'
import { answerLog } from './log-route.ts'
import { answerNarinfo } from './narinfo-route.ts'
import { answerNar } from './nar-route.ts'
import { replyUnknown } from './no-claim.ts'
import { type OwnNames, refusalOf } from './own-names.ts'
import { answerRealisation } from './realisation-route.ts'
import { reply, replyText } from './reply.ts'
import { parseRoute, type Route } from './route.ts'

export type HttpDeps = ExplainRouteDeps & {
  readonly substituter: Substituter
  readonly buildLogs: BuildLogs
  readonly realisations: Realisations
  readonly listings: Listings
  readonly readAhead: ReadAhead
  readonly meter: HttpMeter
  readonly log: Log
  /** The text of nix-cache-info. */
  readonly cacheInfo: string
  /** `name:base64` */
  readonly publicKey: string
  /** `null` where nothing is measured. */
  readonly metrics: (() => Promise<{ readonly contentType: string; readonly text: string }>) | null
  /** False while Weir drains. */
  readonly isReady: () => boolean
  /** `null` on a Unix socket, where no browser comes. */
  readonly own: OwnNames | null
}

/** The server of the cache protocol and its few neighbours: read-only, GET and HEAD. */
export function createHttpServer(deps: HttpDeps): Server {
  const server = createServer(
    { keepAliveTimeout: 75_000, requestTimeout: 60_000 },
    (request, response) => {
      void serve(deps, request, response)
    },
  )
  // Without this, a client that announces an upload is first asked to send it.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    void serve(deps, request, response)
  })
  // A client that neither reads nor asks for so long is gone.
  server.setTimeout(10 * 60_000)
  return server
}

async function serve(
  deps: HttpDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now()
  const sentBefore = request.socket.bytesWritten
  const route = parseRoute(request.url ?? '/')
  const leaving = new AbortController()
  response.on('close', () => {
    leaving.abort()
    const { method = '', url = '', socket } = request
    const sentBytes = socket.bytesWritten - sentBefore
    const ms = performance.now() - startedAt
    deps.meter.requested(route.kind, response.statusCode, sentBytes, ms / 1000)
    deps.log.debug({
      event: 'request',
      method,
      path: url,
      status: response.statusCode,
      complete: response.writableFinished,
      ms: Math.round(ms),
      client: clientOf(request),
    })
  })
  try {
    if (isAllowed(deps, request, response)) {
      await dispatch(deps, route, request, response, leaving.signal)
    }
  } catch (error) {
    if (!leaving.signal.aborted) fail(deps, response, error)
  }
}

function isAllowed(deps: HttpDeps, request: IncomingMessage, response: ServerResponse): boolean {
  const refusal = deps.own === null ? null : refusalOf(request, deps.own)
  if (refusal === 'foreign-host') {
    // Not 403 or 404: to a Nix client these mean "not there", and it would remember them.
    replyText(
      response,
      421,
      `this is not ${request.headers.host ?? 'a host without a name'}: name it in [server] hosts if it is`,
    )
    return false
  }
  if (refusal === 'cross-site') {
    replyText(response, 403, 'requests from other sites are refused')
    return false
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    replyText(response, 405, 'Weir takes no uploads', { allow: 'GET, HEAD', connection: 'close' })
    return false
  }
  return true
}

async function dispatch(
  deps: HttpDeps,
  route: Route,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  switch (route.kind) {
    case 'narinfo':
      await answerNarinfo(deps, request, response, route.hash)
      return
    case 'listing':
      await answerListing(deps.listings, response, route.hash, signal)
      return
    case 'nar':
      await answerNar(deps, request, response, route.key, signal)
      return
    case 'log':
      await answerLog(deps.buildLogs, response, route.derivation, signal)
      return
    case 'realisation':
      await answerRealisation(deps.realisations, response, route.output, signal)
      return
    case 'explain':
      await answerExplain(deps, request, response, route)
      return
    case 'cache-info':
      reply(response, 200, { 'content-type': 'text/x-nix-cache-info' }, deps.cacheInfo)
      return
    case 'public-key':
      replyText(response, 200, deps.publicKey)
      return
    case 'healthz':
      replyText(response, 200, 'ok')
      return
    case 'readyz':
      if (deps.isReady()) replyText(response, 200, 'ready')
      else replyText(response, 503, 'draining')
      return
    case 'metrics': {
      if (deps.metrics === null) {
        replyText(response, 404, 'this Weir does not measure: [server] metrics is false')
        return
      }
      const { contentType, text } = await deps.metrics()
      reply(response, 200, { 'content-type': contentType }, text)
      return
    }
    case 'not-served':
      replyText(response, 404, 'not here')
  }
}

/** Ends an answer that cannot be given. One that has begun is cut, so that nobody takes it for whole. */
function fail(deps: HttpDeps, response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy()
  } else if (error instanceof TransferBrokenError) {
    // To a resume any 5xx is final, and tells the client less than this.
    if (response.req.headers.range === undefined) replyUnknown(response, 'the NAR broke off')
    else replyText(response, 404, 'the rest of this NAR cannot be had now')
  } else {
    replyText(response, 500, 'Weir failed: see its log')
  }
  if (!(error instanceof TransferBrokenError))
    deps.log.error({ event: 'request.failed', err: error })
}
