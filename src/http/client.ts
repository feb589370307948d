import type { IncomingMessage } from 'node:http'

/** The client's address, as it stands in evidence and logs; `unix` on a Unix socket. */
export function clientOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress?.replace(/^::ffff:/, '') ?? 'unix'
}
