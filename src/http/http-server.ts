import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { HttpMeter } from '../ports/http-meter.ts'
import type { Log } from '../ports/log.ts'
import type { RequestScope } from '../ports/request-scope.ts'
import type { Tracer } from '../ports/tracer.ts'
import { TransferBrokenError } from '../substituter/fetching/transfer.ts'
import { hasMethodOf } from './allowed-method.ts'
import { clientOf } from './client.ts'
import { dispatch, type DispatchDeps } from './dispatch.ts'
import { replyUnknown } from './routes/no-claim.ts'
import { type OwnNames, refusalOf } from './own-names.ts'
import { replyText } from './reply.ts'
import type { NameRequest } from './request-id.ts'
import { parseRoute, type Route } from './route.ts'

export type HttpDeps = DispatchDeps & {
  readonly meter: HttpMeter
  readonly log: Log
  readonly scope: RequestScope
  readonly nameRequest: NameRequest
  readonly tracer: Tracer
  /** `null` on a Unix socket, where no browser comes. */
  readonly own: OwnNames | null
}

/** The server of the cache protocol and its few neighbours: read-only, GET and HEAD. */
export function createHttpServer(deps: HttpDeps): Server {
  const server = createServer(
    { keepAliveTimeout: 75_000, requestTimeout: 60_000 },
    (request, response) => {
      begin(deps, request, response)
    },
  )
  // Without this, a client that announces an upload is first asked to send it.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    begin(deps, request, response)
  })
  // A client that neither reads nor asks for so long is gone.
  server.setTimeout(10 * 60_000)
  return server
}

/** Answers a request under its id, which its answer and all that is logged for it have, and in a span of its own. */
function begin(deps: HttpDeps, request: IncomingMessage, response: ServerResponse): void {
  const id = deps.nameRequest(request)
  response.setHeader('x-request-id', id)
  const route = parseRoute(request.url ?? '/')
  const { method = '', headers } = request
  const options = {
    name: `${method} ${route.kind}`,
    kind: 'server',
    traceparent: headers['traceparent']?.toString(),
  } as const
  void deps.scope.run(id, () =>
    deps.tracer.span(options, async (span) => {
      await serve(deps, route, request, response)
      const status = response.statusCode
      span.set({
        'http.request.method': method,
        'http.route': route.kind,
        'http.response.status_code': status,
        'client.address': clientOf(request),
        'weir.request': id,
      })
      if (status >= 500) span.failed(`status ${status}`)
    }),
  )
}

async function serve(
  deps: HttpDeps,
  route: Route,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAt = performance.now()
  const sentBefore = request.socket.bytesWritten
  const leaving = new AbortController()
  response.on('close', () => {
    // Where all was sent nobody waits any more, and to abort is dear: it makes an error with its stack.
    if (!response.writableFinished) leaving.abort()
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
    if (isAllowed(deps, route, request, response)) {
      await dispatch(deps, route, request, response, leaving.signal)
    }
  } catch (error) {
    if (!leaving.signal.aborted) fail(deps, response, error)
  }
}

function isAllowed(
  deps: HttpDeps,
  route: Route,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const isPage = route.kind === 'page'
  const refusal = deps.own === null ? null : refusalOf(request, deps.own, { isPage })
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
  return hasMethodOf(route, request, response)
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
