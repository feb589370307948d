import { Agent, type Dispatcher } from 'undici'
import { UpstreamError } from '../ports/upstream.ts'
import { createGuardedConnector, type Lookup } from './guarded-connector.ts'
import { reachOfHost } from './network-reach.ts'
import { asUpstreamError } from './upstream-failure.ts'
import type { UpstreamOptions } from './upstream-options.ts'
import { namesHost, resolveRedirect } from './url-rules.ts'

export type Response = Dispatcher.ResponseData

/** What is asked for. */
export type HttpQuestion = {
  readonly url: URL
  readonly signal: AbortSignal
  /** `Accept-Encoding`. */
  readonly accept: string
  readonly headers?: Readonly<Record<string, string>>
  /** Further headers for each address that is asked on the way; throws where it is not to be asked. */
  readonly authorize?: (url: URL) => Promise<Readonly<Record<string, string>>>
}

/** GET requests to one host of an upstream, and to where it redirects. */
export type HttpClient = {
  /** The first response that leads nowhere else, whatever its status; its body is the caller's to read or destroy. */
  get(question: HttpQuestion): Promise<Response>
  close(): Promise<void>
}

const maxRedirects = 5

/** Redirects are followed by its own rules, addresses checked where it connects. */
export function createHttpClient(
  options: UpstreamOptions,
  connections: number,
  lookup?: Lookup,
): HttpClient {
  const reach = reachOfHost(new URL(options.url).hostname)
  const agent = new Agent({
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
  return {
    async get(question) {
      let at = question.url
      for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
        const headers = { ...question.headers, ...(await question.authorize?.(at)) }
        const response = await request(agent, at, options, { ...question, headers })
        const location = redirectOf(response)
        if (location === null) return response
        await giveUp(response)
        at = resolveRedirect(at, location)
      }
      throw new UpstreamError('redirect-refused', `more than ${maxRedirects} redirects`)
    },
    close: () => agent.close(),
  }
}

async function request(
  dispatcher: Dispatcher,
  url: URL,
  options: UpstreamOptions,
  { signal, accept, headers }: HttpQuestion,
): Promise<Response> {
  try {
    const pending = dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      headers: {
        ...headers,
        'user-agent': options.userAgent,
        accept: '*/*',
        'accept-encoding': accept,
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
  const { location } = response.headers
  return isRedirect(response.statusCode) && typeof location === 'string' ? location : null
}

/** Whether a status says that the object is elsewhere. */
export function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status)
}

/** Reads a body that nobody wants to its end, where that is near, so that its connection can be used again. */
export async function giveUp({ body }: Response): Promise<void> {
  await body.dump({ limit: 64 * 1024, signal: AbortSignal.timeout(1000) }).catch(() => {
    body.destroy()
  })
}
