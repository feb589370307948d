import type { IncomingMessage } from 'node:http'

/** A request's body as text; `null` where it is longer than `maxBytes`: the rest is thrown away, so that the answer to it can be read. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  const pieces: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false })
  for await (const chunk of pieces) {
    bytes += chunk.length
    if (bytes > maxBytes) {
      request.resume()
      return null
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
