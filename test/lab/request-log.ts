import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createWatch } from './watch.ts'

/** One request that an upstream got; it changes as the answer goes out. */
export type RequestRecord = {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Tells connections apart. */
  readonly peerPort: number
  /** Null until the answer begins. */
  status: number | null
  /** Bytes of the body handed to the kernel. */
  bytesSent: number
  state: 'open' | 'complete' | 'aborted'
}

/** Resolves once `count` (1 unless told) logged requests, past or to come, satisfy the predicate. */
export type WaitForRequests = (
  predicate: (request: Readonly<RequestRecord>) => boolean,
  count?: number,
) => Promise<void>

/** Makes a request log: `begin` records a request and follows its response; the returned function changes the record. */
export function createRequestLog() {
  const requests: RequestRecord[] = []
  const watch = createWatch()
  const begin = (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers, socket } = request
    const record: RequestRecord = {
      ...{ method, path: url, headers, peerPort: socket.remotePort ?? 0 },
      ...{ status: null, bytesSent: 0, state: 'open' },
    }
    const update = (change: Partial<RequestRecord>) => {
      Object.assign(record, change)
      watch.notify()
    }
    requests.push(record)
    watch.notify()
    response.once('close', () => {
      const { headersSent, statusCode, writableFinished } = response
      const state = writableFinished ? 'complete' : 'aborted'
      update({ state, ...(headersSent && { status: statusCode }) })
    })
    return update
  }
  const waitFor: WaitForRequests = (predicate, count = 1) =>
    watch.until(() => requests.filter(predicate).length >= count)
  return { requests, begin, waitFor }
}
