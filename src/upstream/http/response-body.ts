import type { Response } from './http-client.ts'
import { asUpstreamError } from '../upstream-failure.ts'

/** A response's Content-Encoding in lower case; `identity` where it names none. */
export function encodingOf({ headers }: Pick<Response, 'headers'>): string {
  const encoding = headers['content-encoding']
  const name = typeof encoding === 'string' ? encoding.trim().toLowerCase() : ''
  return name === '' ? 'identity' : name
}

/** The body, whose failures are `UpstreamError`s; leaving the loop early closes the connection. */
export async function* bodyOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response.body) yield chunk as Uint8Array
  } catch (error) {
    throw asUpstreamError(error, signal)
  }
}
