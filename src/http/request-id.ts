import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** Says which request is meant, in answers and in the log: the client's own `X-Request-Id` where it is plain and short, else a new one. */
export type NameRequest = (request: IncomingMessage) => string

const plain = /^[\w.:-]{1,64}$/

/** New ids are unique in this Weir, and most likely among all. */
export function createRequestIds(): NameRequest {
  const start = randomBytes(6).toString('hex')
  let count = 0
  return ({ headers }) => {
    const own = headers['x-request-id']
    if (typeof own === 'string' && plain.test(own)) return own
    count += 1
    return `${start}-${count.toString(36)}`
  }
}
