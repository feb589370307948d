import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as sendRequest,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { TlsOptions } from 'node:tls'

/** One request that a proxy got. */
export type ProxiedRequest = {
  readonly method: string
  /** `HOST:PORT` of a CONNECT, a whole URL otherwise. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

export type ProxyOptions = {
  /** The `Proxy-Authorization` without which it answers 407. */
  readonly authorization?: string
  /** Answers everything with this status. */
  readonly refuse?: number
  /** Speaks TLS with these. */
  readonly tls?: TlsOptions
}

/** An HTTP proxy on loopback, for whom every host is 127.0.0.1. */
export type ProxyServer = AsyncDisposable & {
  readonly url: string
  readonly port: number
  readonly requests: ProxiedRequest[]
}

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startProxy(options: ProxyOptions = {}): Promise<ProxyServer> {
  const requests: ProxiedRequest[] = []
  const sockets = new Set<Socket>()
  const refusal = ({ 'proxy-authorization': shown }: IncomingHttpHeaders): number | null => {
    if (options.refuse !== undefined) return options.refuse
    return options.authorization === undefined || shown === options.authorization ? null : 407
  }
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
  }
  const { tls } = options
  const server = tls === undefined ? createServer() : createTlsServer(tls)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url: target = '', headers } = request
    requests.push({ method, target, headers })
    const status = refusal(headers)
    if (status !== null) {
      response.writeHead(status).end()
      return
    }
    const { port, pathname, search } = new URL(target)
    const forwarded = { ...headers }
    delete forwarded['proxy-authorization']
    const path = `${pathname}${search}`
    const onward = { host: '127.0.0.1', port, method, path, headers: forwarded, agent: false }
    sendRequest(onward, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
      .on('error', () => response.writeHead(502).end())
      .end()
  })
  server.on('connection', keep)
  server.on('connect', ({ url: target = '', headers }: IncomingMessage, client: Socket) => {
    requests.push({ method: 'CONNECT', target, headers })
    const status = refusal(headers)
    if (status !== null) {
      client.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const onward = connect({ host: '127.0.0.1', port: Number(target.split(':').at(-1)) }, () => {
      client.write('HTTP/1.1 200 Connected\r\n\r\n')
      onward.pipe(client).pipe(onward)
    })
    keep(onward)
    onward.on('close', () => client.destroy())
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    ...{ url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, port, requests },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
