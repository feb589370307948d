import { isIP } from 'node:net'
import type { buildConnector, Dispatcher } from 'undici'
import {
  createConnector,
  createGuardedConnector,
  type Lookup,
  refusedAddress,
} from './guarded-connector.ts'
import { reachOfHost, unbracket } from './network-reach.ts'
import { createProxyFor, type Proxy } from './proxy.ts'
import { openTunnel } from './proxy-tunnel.ts'
import { createTlsContexts } from './tls-options.ts'
import type { UpstreamOptions } from '../upstream-options.ts'
import { namesHost, type Target } from '../url-rules.ts'

/** How one request goes out. */
export type HttpRoute = {
  readonly dispatcher: Dispatcher
  /** Whom it is sent to, and the target of its first line. */
  readonly origin: string
  readonly path: string
  /** What the way itself needs: never the upstream's credentials. */
  readonly headers: Readonly<Record<string, string>>
  /** The proxy on the way; `null` where there is none. */
  readonly proxy: Proxy | null
}

/** The ways to an upstream's hosts: directly or by a proxy, with Weir's certificate or without. */
export type HttpRoutes = {
  /** For a URL; `isOwn` ones are below a root of the cache, and see Weir's certificate. Throws UpstreamError where it must not be asked. */
  to(url: URL, whose: { readonly isOwn: boolean }): HttpRoute
  close(): Promise<void>
}

export type HttpRoutesOptions = {
  readonly options: UpstreamOptions
  /** Connections that are made by a given connector. */
  readonly pool: (connect: buildConnector.connector) => Dispatcher
  readonly env: Readonly<Record<string, string | undefined>>
  readonly lookup?: Lookup
}

/** Chooses the way of each request, addresses checked where it connects; behind a proxy only the host's name can be. */
export function createHttpRoutes({ options, pool, env, lookup }: HttpRoutesOptions): HttpRoutes {
  const mayBePrivate = privacyOf(options)
  const proxyFor = createProxyFor(options.proxy, env)
  const contexts = createTlsContexts(options.tls, env)
  const connectTimeoutMs = options.connectMs
  const connectorWith = (secureContext: typeof contexts.own): buildConnector.connector => {
    const guarded = createGuardedConnector({
      ...{ connectTimeoutMs, mayBePrivate, secureContext },
      ...(lookup === undefined ? {} : { lookup }),
    })
    const through = createConnector({ connectTimeoutMs, secureContext })
    return (target, callback) => {
      const proxy = proxyFor(target)
      if (proxy === null) {
        guarded(target, callback)
        return
      }
      openTunnel(proxy, target, {
        timeoutMs: connectTimeoutMs,
        secureContext: contexts.other,
      }).then(
        (httpSocket) => {
          through({ ...target, httpSocket }, callback)
        },
        (error: unknown) => {
          callback(error instanceof Error ? error : new Error(String(error)), null)
        },
      )
    }
  }
  const other = pool(connectorWith(contexts.other))
  const own = contexts.own === contexts.other ? other : pool(connectorWith(contexts.own))
  const forward = pool(
    byOwnName(createConnector({ connectTimeoutMs, secureContext: contexts.other })),
  )
  return {
    to(url, { isOwn }) {
      const proxy = proxyFor(url)
      if (proxy !== null && !mayBePrivate(url) && reachOfHost(url.hostname) === 'private') {
        throw refusedAddress(url.hostname, url.hostname)
      }
      if (proxy !== null && url.protocol === 'http:') return forwarded(forward, proxy, url)
      const path = `${url.pathname}${url.search}`
      return { dispatcher: isOwn ? own : other, origin: url.origin, path, headers: {}, proxy }
    },
    close: async () => {
      await Promise.all([...new Set([own, other, forward])].map((each) => each.close()))
    },
  }
}

/** Connects to a proxy, which is believed by its own name: undici goes by the one in Host, which is the target's. */
function byOwnName(connect: buildConnector.connector): buildConnector.connector {
  return (target, callback) => {
    const host = unbracket(target.hostname)
    connect({ ...target, servername: isIP(host) === 0 ? host : '' }, callback)
  }
}

/** A request without TLS, which the proxy is asked for as a whole (RFC 9112, absolute-form). */
function forwarded(dispatcher: Dispatcher, proxy: Proxy, url: URL): HttpRoute {
  const { authorization } = proxy
  const headers = {
    host: url.host,
    ...(authorization === null ? {} : { 'proxy-authorization': authorization }),
  }
  const path = `${url.origin}${url.pathname}${url.search}`
  return { dispatcher, origin: proxy.url.origin, path, headers, proxy }
}

/** Whether a target of this upstream may be at a private address: as it is itself, or as was written for it. */
function privacyOf(options: UpstreamOptions): (target: Target) => boolean {
  const reach = reachOfHost(new URL(options.url).hostname)
  return (target) => reach === 'private' || namesHost(options.redirectHosts, target)
}
