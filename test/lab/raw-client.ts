import { createHash } from 'node:crypto'
import {
  type Agent,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type IncomingMessage,
  request,
} from 'node:http'
import { connect } from 'node:net'

export type RawGetOptions = {
  readonly method?: string
  /** Sent in place of the URL's path, unescaped and unresolved. */
  readonly path?: string
  readonly headers?: OutgoingHttpHeaders
  /** A connection of its own unless told. */
  readonly agent?: Agent
  readonly signal?: AbortSignal
  readonly body?: string | Buffer
  /** Awaited after each piece: a slow reader, under backpressure. */
  readonly pace?: (bytesSoFar: number) => unknown
  /** Hangs up after having read at least so many bytes. */
  readonly hangUpAfterBytes?: number
  /** Bodies up to here are kept, larger ones only hashed; 1 MiB unless told. */
  readonly keepBytes?: number
}

export type RawResponse = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** In hex, of the body as far as it came. */
  readonly sha256: string
  readonly length: number
  /** False if the body broke off: the connection was closed, or the signal fired, before its end. */
  readonly complete: boolean
  /** How long until the head and until the end came, from the request. */
  readonly headMs: number
  readonly endMs: number
}

/** Makes one HTTP request; rejects only when no response's head comes. `body` is empty for bodies that are not kept. */
export async function rawGet(url: string, options: RawGetOptions = {}): Promise<RawResponse> {
  const { method = 'GET', path, headers = {}, agent = false, signal, body, pace } = options
  const { hangUpAfterBytes = Infinity, keepBytes = 1_048_576 } = options
  const began = performance.now()
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const extra = { ...(path !== undefined && { path }), ...(signal && { signal }) }
    const sent = request(url, { method, headers, agent, ...extra }, resolve)
    sent.on('error', reject)
    sent.end(body)
  })
  const headMs = performance.now() - began
  const hash = createHash('sha256')
  const pieces: Buffer[] = []
  let length = 0
  try {
    for await (const piece of response) {
      const buffer = piece as Buffer
      hash.update(buffer)
      length += buffer.length
      if (length <= keepBytes) pieces.push(buffer)
      await pace?.(length)
      if (length >= hangUpAfterBytes) break
    }
  } catch {
    // `complete` tells that the body broke off.
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: length <= keepBytes ? Buffer.concat(pieces) : Buffer.alloc(0),
    sha256: hash.digest('hex'),
    length,
    complete: response.complete,
    headMs,
    endMs: performance.now() - began,
  }
}

/** What came back on a raw connection, as Latin-1, and whether the peer closed it within the time. */
export type RawReply = { readonly text: string; readonly closedByPeer: boolean }

/**
 * Writes bytes to a port of 127.0.0.1 and returns what comes back until the peer closes, `until` is content with it,
 * or the time is over.
 */
export function rawSend(
  port: number,
  bytes: string | Buffer,
  options: { readonly until?: (text: string) => boolean; readonly timeoutMs?: number } = {},
): Promise<RawReply> {
  const { until = () => false, timeoutMs = 10_000 } = options
  return new Promise((resolve, reject) => {
    let text = ''
    let connected = false
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const finish = (closedByPeer: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ text, closedByPeer })
    }
    const timer = setTimeout(finish, timeoutMs, false)
    socket.once('connect', () => {
      connected = true
      socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    })
    socket.on('data', (piece) => {
      text += piece.toString('latin1')
      if (until(text)) finish(false)
    })
    socket.once('end', () => {
      finish(true)
    })
    socket.once('error', (error) => {
      clearTimeout(timer)
      // A reset after the connection stood is a way to close it.
      if (connected) finish(true)
      else reject(error)
    })
  })
}
