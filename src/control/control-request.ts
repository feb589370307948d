import type { IncomingMessage } from 'node:http'
import { BadRequestError } from '../admin/bad-request-error.ts'
import { readBody } from '../http/read-body.ts'

/** A request on the control socket, read whole. */
export type ReceivedRequest = {
  /** `GET /status` */
  readonly route: string
  readonly url: URL
  readonly text: string
  /** Aborted when nobody waits for the answer any more, or Weir ends. */
  readonly signal: AbortSignal
}

/** An answer that comes item by item, for as long as somebody reads it. */
export class Lines {
  readonly items: AsyncIterable<unknown>

  constructor(items: AsyncIterable<unknown>) {
    this.items = items
  }
}

const maxBodyBytes = 1024 * 1024

/** Reads a request; one that is too long is a `BadRequestError`. */
export async function receive(
  request: IncomingMessage,
  signal: AbortSignal,
): Promise<ReceivedRequest> {
  const url = new URL(request.url ?? '/', 'http://weir')
  const text = request.method === 'POST' ? await bodyOf(request) : ''
  return { route: `${request.method ?? ''} ${url.pathname}`, url, text, signal }
}

/** A parameter that must be there. */
export function textOf(url: URL, name: string): string {
  const text = url.searchParams.get(name)
  if (text === null || text === '') throw new BadRequestError(`${name} is missing`)
  return text
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const text = await readBody(request, maxBodyBytes)
  if (text === null) throw new BadRequestError('the request is too long')
  return text
}
