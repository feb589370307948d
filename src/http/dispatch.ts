import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HttpMeter } from '../ports/http-meter.ts'
import type { BuildLogs } from '../substituter/build-logs.ts'
import type { Listings } from '../substituter/listings.ts'
import type { ReadAhead } from '../substituter/read-ahead.ts'
import type { Realisations } from '../substituter/realisations.ts'
import type { Substituter } from '../substituter/substituter.ts'
import { type ActionRouteDeps, answerAction } from './api/api-action-route.ts'
import { orProblem, replyProblem } from './api/api-reply.ts'
import { type ApiDeps, answerApi } from './api/api-route.ts'
import { answerExplain, type ExplainRouteDeps } from './api/explain-route.ts'
import { answerListing } from './routes/listing-route.ts'
import { answerLog } from './routes/log-route.ts'
import { answerNarinfo } from './routes/narinfo-route.ts'
import { answerNar } from './routes/nar-route.ts'
import { answerPage, type PageRouteDeps } from './routes/page-route.ts'
import { answerRealisation } from './routes/realisation-route.ts'
import { reply, replyText } from './reply.ts'
import type { Route } from './route.ts'

/** What the routes need. */
export type DispatchDeps = OwnDeps &
  ExplainRouteDeps &
  ApiDeps &
  ActionRouteDeps &
  PageRouteDeps & {
    readonly substituter: Substituter
    readonly buildLogs: BuildLogs
    readonly realisations: Realisations
    readonly listings: Listings
    readonly readAhead: ReadAhead
    readonly meter: HttpMeter
  }

/** What Weir says of itself. */
type OwnDeps = {
  /** The text of nix-cache-info. */
  readonly cacheInfo: string
  /** `name:base64` */
  readonly publicKey: string
  /** `null` where nothing is measured. */
  readonly metrics: (() => Promise<{ readonly contentType: string; readonly text: string }>) | null
  /** False while Weir drains. */
  readonly isReady: () => boolean
}

/** Answers a request by its route. */
export async function dispatch(
  deps: DispatchDeps,
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
    case 'page':
    case 'asset':
      await answerPage(deps, request, response, route, signal)
      return
    case 'api':
      await orProblem(response, () => answerApi(deps, request, response, route, signal))
      return
    case 'api-action':
      await orProblem(response, () => answerAction(deps, request, response, route.action, signal))
      return
    case 'api-unknown':
      replyProblem(response, 404, 'there is nothing of this name: see /api/v1/openapi.json')
      return
    case 'cache-info':
    case 'public-key':
    case 'healthz':
    case 'readyz':
    case 'metrics':
      await answerOwn(deps, response, route.kind)
      return
    case 'not-served':
      replyText(response, 404, 'not here')
  }
}

async function answerOwn(
  deps: OwnDeps,
  response: ServerResponse,
  kind: 'cache-info' | 'public-key' | 'healthz' | 'readyz' | 'metrics',
): Promise<void> {
  switch (kind) {
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
  }
}
