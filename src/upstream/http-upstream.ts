import { Agent, type Dispatcher } from 'undici'
import { drvOutputFile } from '../nix/drv-output.ts'
import { maxNarinfoBytes } from '../nix/narinfo.ts'
import { maxRealisationBytes } from '../nix/realisation.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../ports/upstream.ts'
import { decodeBody } from './body-encoding.ts'
import { createGuardedConnector, type Lookup } from './guarded-connector.ts'
import { reachOfHost } from './network-reach.ts'
import { asUpstreamError } from './upstream-failure.ts'
import type { UpstreamOptions } from './upstream-options.ts'
import { namesHost, resolveNarUrl, resolveRedirect } from './url-rules.ts'

const maxLogConnections = 4
const maxRedirects = 5
const maxCacheInfoBytes = 64 * 1024

/** A binary cache over http or https. Redirects are followed by its own rules, addresses checked where it connects. */
export function createHttpUpstream(options: UpstreamOptions, lookup?: Lookup): Upstream {
  const root = new URL(`${options.url}/`)
  const reach = reachOfHost(root.hostname)
  const agentOf = (connections: number): Agent =>
    new Agent({
      connect: createGuardedConnector({
        connectTimeoutMs: options.connectMs,
        mayBePrivate: (target) => reach === 'private' || namesHost(options.redirectHosts, target),
        ...(lookup === undefined ? {} : { lookup }),
      }),
      headersTimeout: options.headersMs,
      bodyTimeout: options.idleMs,
      connections,
      pipelining: 1,
      maxHeaderSize: 64 * 1024,
      allowH2: false,
    })
  const agent = agentOf(options.maxConnections)
  // Logs go out at their reader's speed: they have connections of their own, so that nobody holds those of the narinfos.
  const logAgent = agentOf(maxLogConnections)

  const get = async (
    url: URL,
    signal: AbortSignal,
    accept: string,
    over = agent,
  ): Promise<Response | null> => {
    let at = url
    for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
      const response = await request(over, at, options, signal, accept)
      const location = redirectOf(response)
      if (location === null) return await definite(response)
      await giveUp(response)
      at = resolveRedirect(at, location)
    }
    throw new UpstreamError('redirect-refused', `more than ${maxRedirects} redirects`)
  }

  return {
    name: options.name,
    async cacheInfo(signal) {
      const response = await get(new URL('nix-cache-info', root), signal, 'identity')
      return response && (await readAll(plainBody(response, signal), maxCacheInfoBytes))
    },
    async narinfo(hash, signal) {
      const response = await get(new URL(`${hash}.narinfo`, root), signal, 'identity')
      return response && (await readAll(plainBody(response, signal), maxNarinfoBytes))
    },
    async nar(url, signal) {
      const address = resolveNarUrl(root, url, options.redirectHosts)
      const response = await get(address, signal, 'identity')
      return response && plainBody(response, signal)
    },
    async buildLog(derivation, signal) {
      const url = new URL(`log/${derivation}`, root)
      const response = await get(url, signal, 'br, gzip, identity', logAgent)
      return response && decodedBody(response, signal)
    },
    async realisation(output, signal) {
      const response = await get(new URL(drvOutputFile(output), root), signal, 'identity')
      return response && (await readAll(plainBody(response, signal), maxRealisationBytes))
    },
    close: async () => {
      await Promise.all([agent.close(), logAgent.close()])
    },
  }
}

type Response = Dispatcher.ResponseData

async function request(
  dispatcher: Dispatcher,
  url: URL,
  options: UpstreamOptions,
  signal: AbortSignal,
  acceptEncoding: string,
): Promise<Response> {
  try {
    const pending = dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      headers: {
        'user-agent': options.userAgent,
        accept: '*/*',
        'accept-encoding': acceptEncoding,
      },
      signal,
    })
    return await orAbort(pending, signal)
  } catch (error) {
    throw asUpstreamError(error, signal)
  }
}

/** undici aborts a request that still waits for a connection only when its turn comes: its owner need not wait so long. */
function orAbort(pending: Promise<Response>, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    const unlisten = (): void => {
      signal.removeEventListener('abort', abort)
    }
    pending.then(unlisten, unlisten)
    pending.then((response) => {
      // Who reads the body hears of its failure; of one that is given up nobody does, and an error would end Weir.
      response.body.on('error', () => undefined)
      if (signal.aborted) response.body.destroy()
      resolve(response)
    }, reject)
  })
}

function redirectOf(response: Response): string | null {
  if (![301, 302, 303, 307, 308].includes(response.statusCode)) return null
  const { location } = response.headers
  if (typeof location === 'string') return location
  response.body.destroy()
  throw new UpstreamError('redirect-refused', `status ${response.statusCode} without a Location`)
}

/** The response where it has the object, `null` where it certainly does not; anything else could not tell. */
async function definite(response: Response): Promise<Response | null> {
  const { statusCode } = response
  if (statusCode === 200) return response
  await giveUp(response)
  if (statusCode === 404 || statusCode === 410) return null
  throw new UpstreamError('status', `status ${statusCode}`, { status: statusCode })
}

/** Reads a body that nobody wants to its end, where that is near, so that its connection can be used again. */
async function giveUp({ body }: Response): Promise<void> {
  await body.dump({ limit: 64 * 1024, signal: AbortSignal.timeout(1000) }).catch(() => {
    body.destroy()
  })
}

function encodingOf(response: Response): string {
  const encoding = response.headers['content-encoding']
  return typeof encoding === 'string' ? encoding.trim().toLowerCase() : 'identity'
}

function plainBody(response: Response, signal: AbortSignal): UpstreamBody {
  const encoding = encodingOf(response)
  if (encoding === 'identity' || encoding === '') return bodyOf(response, signal)
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

/** The body, whose failures are `UpstreamError`s; leaving the loop early closes the connection. */
async function* bodyOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response.body) yield chunk as Uint8Array
  } catch (error) {
    throw asUpstreamError(error, signal)
  }
}

async function readAll(body: UpstreamBody, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new UpstreamError('too-large', `more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
