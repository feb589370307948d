import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { createLink, type Link, type LinkOptions } from './relay/link.ts'

export type RelayOptions = LinkOptions & {
  /** The port of 127.0.0.1 that connections are led to. */
  readonly targetPort: number
}

/** A slow and distant network between a port of 127.0.0.1 and another one. */
export type Relay = AsyncDisposable & { readonly port: number; readonly description: string }

/** 100 Mbit/s each way for all connections together, and 20 ms for a round trip. */
export const standardLink: LinkOptions = { bitsPerSecond: 100e6, oneWayMs: 10 }

/**
 * Starts a relay. Bytes wait for their turn on the link and for its delay, in both directions, and a client's first ones for the round
 * trip that its handshake takes; what TCP itself adds over a distance (slow start, losses) is not modelled.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const up = createLink(options)
  const down = createLink(options)
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ host: '127.0.0.1', port: options.targetPort, noDelay: true })
    tie(client, target)
    const shakeHands = setTimeout(forward, 2 * options.oneWayMs, client, target, up)
    client.once('close', () => {
      clearTimeout(shakeHands)
    })
    forward(target, client, down)
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const megabits = options.bitsPerSecond / 1e6
  return {
    port,
    description: `the upstream is ${megabits} Mbit/s and ${2 * options.oneWayMs} ms (round trip) away`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** How much of one connection may be on its way: more than twice what fills the link for a round trip. */
const windowBytes = 512 * 1024

function forward(from: Socket, to: Socket, link: Link): void {
  let onItsWay = 0
  from.on('data', (piece) => {
    onItsWay += piece.length
    if (onItsWay >= windowBytes) from.pause()
    link.send(piece.length, () => {
      to.write(piece, () => {
        onItsWay -= piece.length
        if (onItsWay < windowBytes) from.resume()
      })
    })
  })
  from.once('end', () => {
    link.send(0, () => {
      to.end()
    })
  })
}

/** Ends one side's connection at once where the other's breaks. */
function tie(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.once('error', () => {
      to.destroy()
    })
  }
}
