import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isIP } from 'node:net'
import type { ListenAddress } from '../settings/settings.ts'

/** An address that cannot be listened on: in use, not this machine's, or not allowed. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

/** Starts listening. Returns the address as `http://…` or `unix:…`, with the port that the system gave for port 0. */
export async function listen(server: Server, address: ListenAddress): Promise<string> {
  if (address.kind === 'unix') {
    await listenOnSocket(server, address.path, 0o666)
    return `unix:${address.path}`
  }
  await bind(server, { host: address.host, port: address.port }, `${address.host}:${address.port}`)
  const { port } = server.address() as AddressInfo
  return `http://${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${port}`
}

/** Listens on a Unix socket; a file that a crash left there is removed, for the caller's lock says that nobody uses it. */
export async function listenOnSocket(server: Server, path: string, mode: number): Promise<void> {
  await rm(path, { force: true })
  await bind(server, { path }, path)
  await chmod(path, mode)
}

async function bind(
  server: Server,
  where: { readonly host: string; readonly port: number } | { readonly path: string },
  name: string,
): Promise<void> {
  try {
    server.listen(where)
    await once(server, 'listening')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    const why = code === 'EADDRINUSE' ? 'something else listens there' : code
    throw new ListenError(`cannot listen on ${name}: ${why}; choose another [server] listen`, {
      cause: error,
    })
  }
}

/**
 * Stops taking connections and waits for the running requests, at most until `signal` aborts; then cuts them.
 */
export async function drain(server: Server, signal: AbortSignal): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  // A kept-alive connection counts as open until somebody closes it after its last answer.
  const sweep = setInterval(() => {
    server.closeIdleConnections()
  }, 50)
  const cut = (): void => {
    server.closeAllConnections()
  }
  if (signal.aborted) cut()
  signal.addEventListener('abort', cut)
  try {
    server.closeIdleConnections()
    await closed
  } finally {
    clearInterval(sweep)
    signal.removeEventListener('abort', cut)
  }
}
