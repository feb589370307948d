import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { UpstreamError } from '../../ports/upstream.ts'
import { unbracket } from './network-reach.ts'
import type { Proxy } from './proxy.ts'
import { tlsFailure } from './tls-failure.ts'
import { asUpstreamError } from '../upstream-failure.ts'
import type { Target } from '../url-rules.ts'

export type TunnelOptions = {
  /** For the connection to the proxy and its answer. */
  readonly timeoutMs: number
  /** What a proxy behind TLS is believed by; undefined: what Node believes. */
  readonly secureContext: () => SecureContext | undefined
}

/** A connection to a target through a proxy (CONNECT), that only the proxy's own credentials are shown to; a proxy that refuses is an UpstreamError that names it. */
export async function openTunnel(
  { url, authorization }: Proxy,
  { hostname, port }: Target,
  { timeoutMs, secureContext }: TunnelOptions,
): Promise<Socket> {
  const authority = `${hostname}:${port === '' ? '443' : port}`
  const isSecure = url.protocol === 'https:'
  const context = isSecure ? secureContext() : undefined
  const pending = Promise.withResolvers<Socket>()
  const host = unbracket(url.hostname)
  const request = (isSecure ? requestHttps : requestHttp)({
    ...{
      protocol: url.protocol,
      hostname: host,
      port: url.port,
    },
    ...{ method: 'CONNECT', path: authority, agent: false },
    // Else the proxy would be believed by the name in Host, which is the target's.
    servername: isIP(host) === 0 ? host : '',
    headers: {
      host: authority,
      ...(authorization === null ? {} : { 'proxy-authorization': authorization }),
    },
    signal: AbortSignal.timeout(timeoutMs),
    ...(context === undefined ? {} : { secureContext: context }),
  })
  request.on('connect', ({ statusCode = 0 }, socket: Socket, head) => {
    if (statusCode >= 200 && statusCode < 300) {
      socket.unshift(head)
      pending.resolve(socket)
      return
    }
    socket.destroy()
    pending.reject(new UpstreamError('connect', describeRefusal(statusCode)))
  })
  request.on('response', (response) => {
    response.destroy()
    pending.reject(new UpstreamError('connect', describeRefusal(response.statusCode ?? 0)))
  })
  request.on('error', (error) => {
    pending.reject(tlsFailure(error, url.hostname) ?? asUpstreamError(error))
  })
  request.end()
  return pending.promise
}

/** Why a proxy let nothing through. */
export function describeRefusal(status: number): string {
  const remedy = status === 407 ? ': it wants other credentials' : ''
  return `it refuses with status ${status}${remedy}`
}
