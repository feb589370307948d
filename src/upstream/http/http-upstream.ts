import { drvOutputFile } from '../../nix/drv-output.ts'
import { maxNarinfoBytes } from '../../nix/narinfo.ts'
import { maxRealisationBytes } from '../../nix/realisation.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../../ports/upstream.ts'
import { decodeBody } from './body-encoding.ts'
import {
  createHttpClient,
  giveUp,
  type HttpClient,
  type HttpWorld,
  isRedirect,
  type Response,
} from './http-client.ts'
import { readAll } from '../read-all.ts'
import { bodyOf, encodingOf } from './response-body.ts'
import { resumedBody } from './resumed-body.ts'
import { retryAfterOf } from './retry-after.ts'
import { realTiming, type Timing } from '../timing.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { resolveNarUrl } from '../url-rules.ts'

const maxLogConnections = 4
const maxCacheInfoBytes = 64 * 1024

/** What makes a kind of cache that is asked over http or https. */
export type HttpKind = {
  readonly createClient: typeof createHttpClient
  /** `Accept-Encoding` of narinfos; `identity` refuses every encoding. */
  readonly acceptNarinfo: string
}

const plainHttp: HttpKind = { createClient: createHttpClient, acceptNarinfo: 'identity' }

/** A binary cache over http or https. */
export function createHttpUpstream(
  options: UpstreamOptions,
  world: Partial<HttpWorld> = {},
  { createClient, acceptNarinfo }: HttpKind = plainHttp,
  timing: Timing = realTiming,
): Upstream {
  const root = new URL(`${options.url}/`)
  const client = createClient(options, options.maxConnections, world)
  // Logs go out at their reader's speed: they have connections of their own, so that nobody holds those of the narinfos.
  const logClient = createClient(options, maxLogConnections, world)

  const get = async (
    url: URL,
    signal: AbortSignal,
    accept: string,
    over: HttpClient = client,
  ): Promise<Response | null> => definite(options, await over.get({ url, signal, accept }))

  return {
    name: options.name,
    async cacheInfo(signal) {
      const response = await get(new URL('nix-cache-info', root), signal, 'identity')
      return response && (await readAll(plainBody(response, signal), maxCacheInfoBytes))
    },
    async narinfo(hash, signal) {
      const response = await get(new URL(`${hash}.narinfo`, root), signal, acceptNarinfo)
      const readBody = acceptNarinfo === 'identity' ? plainBody : decodedBody
      return response && (await readAll(readBody(response, signal), maxNarinfoBytes))
    },
    async nar(url, signal) {
      const address = resolveNarUrl(root, url, options.redirectHosts)
      const accept = 'identity'
      const response = await get(address, signal, accept)
      if (response === null) return null
      refuseEncoded(response)
      const ask = (headers: Readonly<Record<string, string>>): Promise<Response> =>
        client.get({ url: address, signal, accept, headers })
      return resumedBody(response, { ask, timing }, signal)
    },
    async buildLog(derivation, signal) {
      const url = new URL(`log/${derivation}`, root)
      const response = await get(url, signal, 'br, gzip, identity', logClient)
      return response && decodedBody(response, signal)
    },
    async realisation(output, signal) {
      const response = await get(new URL(drvOutputFile(output), root), signal, 'identity')
      return response && (await readAll(plainBody(response, signal), maxRealisationBytes))
    },
    close: async () => {
      await Promise.all([client.close(), logClient.close()])
    },
  }
}

/** The response where it has the object, `null` where it certainly does not; anything else could not tell. */
async function definite(
  { absentOn403 }: UpstreamOptions,
  response: Response,
): Promise<Response | null> {
  const { statusCode } = response
  if (statusCode === 200) return response
  await giveUp(response)
  if (statusCode === 404 || statusCode === 410 || (statusCode === 403 && absentOn403)) return null
  if (isRedirect(statusCode)) {
    throw new UpstreamError('redirect-refused', `status ${statusCode} without a Location`)
  }
  throw new UpstreamError('status', `status ${statusCode}`, {
    status: statusCode,
    retryAfterMs: retryAfterOf(response.headers, Date.now()),
  })
}

function plainBody(response: Response, signal: AbortSignal): UpstreamBody {
  refuseEncoded(response)
  return bodyOf(response, signal)
}

function refuseEncoded(response: Response): void {
  const encoding = encodingOf(response)
  if (encoding === 'identity') return
  response.body.destroy()
  throw new UpstreamError('unexpected-encoding', `the body came with Content-Encoding ${encoding}`)
}

function decodedBody(response: Response, signal: AbortSignal): UpstreamBody {
  try {
    return decodeBody(encodingOf(response), bodyOf(response, signal))
  } catch (error) {
    response.body.destroy()
    throw error
  }
}
