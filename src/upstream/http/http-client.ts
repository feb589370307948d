import { Agent, type buildConnector, type Dispatcher } from 'undici'
import { UpstreamError } from '../../ports/upstream.ts'
import { isBelow, rootOf } from '../credentials/credential-scope.ts'
import {
  createCredentials,
  type Credentials,
  type CredentialsWorld,
  type SentCredentials,
} from '../credentials/credentials.ts'
import type { Lookup } from './guarded-connector.ts'
import { createHttpRoutes, type HttpRoute } from './http-routes.ts'
import { describeRefusal } from './proxy-tunnel.ts'
import type { Proxy } from './proxy.ts'
import { tlsFailure } from './tls-failure.ts'
import { inTime } from '../in-time.ts'
import { asUpstreamError, elsewhere } from '../upstream-failure.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { resolveRedirect } from '../url-rules.ts'

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

/** What a client depends on besides its options; the process's own unless told. */
export type HttpWorld = CredentialsWorld & { readonly lookup?: Lookup }

/** Redirects are followed by its own rules; credentials are shown below the root that was asked for, and nowhere else. */
export function createHttpClient(
  options: UpstreamOptions,
  connections: number,
  { lookup, ...world }: Partial<HttpWorld> = {},
): HttpClient {
  const { env = process.env, nowMs = () => performance.now() } = world
  const pool = (connect: buildConnector.connector): Agent =>
    new Agent({
      connect,
      headersTimeout: options.headersMs,
      bodyTimeout: options.idleMs,
      connections,
      pipelining: 1,
      maxHeaderSize: 64 * 1024,
      allowH2: false,
      // A name that leads elsewhere by now is asked for anew within this time; after a failure it is at once.
      clientTtl: 60_000,
      keepAliveMaxTimeout: 30_000,
    })
  const routes = createHttpRoutes({
    ...{ options, pool, env },
    ...(lookup === undefined ? {} : { lookup }),
  })
  const credentials = createCredentials(options, { env, nowMs })
  const root = rootOf(options)
  return {
    async get(question) {
      let at = question.url
      let isOwn = isBelow(root, at)
      for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
        const sent = isOwn ? await readInTime(credentials, at, question.signal) : nothing
        const route = routes.to(at, { isOwn })
        const headers = { ...question.headers, ...(await question.authorize?.(at)) }
        const asked = { ...question, url: at, headers }
        const pending = request(route, asked, sent, options.userAgent)
        const response = await (redirects === 0 ? pending : pending.catch(rethrowElsewhere))
        const location = redirectOf(response)
        const shown = shownKeys(options, sent, { isOwn, root })
        if (location === null) return await unlessRefused(options, response, route, shown)
        await giveUp(response)
        at = resolveRedirect(at, location)
        // Whoever was led out of the cache is a stranger there from then on, even where the way leads back.
        isOwn &&= isBelow(root, at)
      }
      throw new UpstreamError('redirect-refused', `more than ${maxRedirects} redirects`)
    },
    close: () => routes.close(),
  }
}

/** Who refuses where a redirect leads is not the upstream itself. */
function rethrowElsewhere(error: unknown): never {
  throw elsewhere(error)
}

const nothing: SentCredentials = { headers: {}, keys: [] }

/** A file of secrets may lie on a mount that hangs. */
async function readInTime(
  credentials: Credentials,
  at: URL,
  signal: AbortSignal,
): Promise<SentCredentials> {
  try {
    return await inTime(credentials.of(at), signal)
  } catch (error) {
    throw asUpstreamError(error, signal)
  }
}

async function request(
  { dispatcher, origin, path, headers: ofRoute, proxy }: HttpRoute,
  { url, signal, accept, headers }: HttpQuestion,
  { headers: credentials }: SentCredentials,
  userAgent: string,
): Promise<Response> {
  try {
    const pending = dispatcher.request({
      origin,
      path,
      method: 'GET',
      headers: {
        ...headers,
        ...credentials,
        'user-agent': userAgent,
        accept: '*/*',
        'accept-encoding': accept,
        ...ofRoute,
      },
      signal,
    })
    // undici aborts a request that still waits for a connection only when its turn comes: its owner need not wait so long.
    return await inTime(pending.then(heard), signal, ({ body }) => body.destroy())
  } catch (error) {
    if (signal.aborted) throw asUpstreamError(error, signal)
    throw ofProxy(tlsFailure(error, url.hostname) ?? asUpstreamError(error), proxy)
  }
}

/** Who reads a body hears of its failure; of one that is given up nobody does, and an error would end Weir. */
function heard(response: Response): Response {
  response.body.on('error', () => undefined)
  return response
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

/** A failure on the way, told as the proxy's that it was on. */
function ofProxy(error: unknown, proxy: Proxy | null): unknown {
  if (proxy === null || !(error instanceof UpstreamError)) return error
  if (!['connect', 'timeout', 'reset'].includes(error.code)) return error
  return new UpstreamError(error.code, `the proxy ${proxy.url.host}: ${error.message}`, {
    cause: error,
  })
}

/** The keys of what the root was shown; its certificate only under TLS. */
function shownKeys(
  { tls }: UpstreamOptions,
  { keys }: SentCredentials,
  { isOwn, root }: { readonly isOwn: boolean; readonly root: URL },
): readonly string[] {
  const isCertified = isOwn && root.protocol === 'https:' && tls.certificateFile !== null
  return isCertified ? [...keys, 'certificate_file'] : keys
}

/** The response, unless it is a refusal of who asks: that says where to look, and never that an object is not there. */
async function unlessRefused(
  { absentOn403 }: UpstreamOptions,
  response: Response,
  { proxy, path }: HttpRoute,
  keys: readonly string[],
): Promise<Response> {
  const { statusCode: status } = response
  const isForwarded = proxy !== null && !path.startsWith('/')
  if (status === 407 && isForwarded) {
    await giveUp(response)
    throw ofProxy(new UpstreamError('connect', describeRefusal(status)), proxy)
  }
  const isKnown = keys.length > 0
  if (status === 403 && absentOn403 && isForwarded) {
    await giveUp(response)
    throw new UpstreamError('status', 'status 403: it may be the proxy that says so', { status })
  }
  const refuses = status === 407 || (status === 403 && !absentOn403)
  if (status !== 401 && !(isKnown && refuses)) return response
  await giveUp(response)
  const remedy = isKnown
    ? `it does not accept the credentials of ${keys.join(', ')}`
    : 'it asks for credentials, and none were for it'
  throw new UpstreamError('status', `status ${status}: ${remedy}`, { status })
}
