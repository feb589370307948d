import { createServer, type Server } from 'node:http'
import { reply, replyText } from '../http/reply.ts'

/** What a running Weir says of itself on its control socket. */
export type Status = {
  readonly version: string
  readonly pid: number
  /** Seconds. */
  readonly uptimeSeconds: number
  /** `http://…` or `unix:…` */
  readonly address: string
  /** `name:base64` */
  readonly publicKey: string
  readonly configuration: string
  readonly cache: {
    readonly dir: string
    readonly nars: number
    readonly bytes: number
    readonly limitBytes: number
  }
  readonly upstreams: readonly string[]
}

/** The server behind `control.sock`: who can open the socket is its owner, and may ask everything. */
export function createControlServer(status: () => Status): Server {
  return createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/status') {
      reply(response, 200, { 'content-type': 'application/json' }, JSON.stringify(status()))
    } else {
      replyText(response, 404, 'not here')
    }
  })
}
