import { type UpstreamBody, UpstreamError } from '../ports/upstream.ts'

/** A whole body; one of more bytes than that is `too-large`. */
export async function readAll(body: UpstreamBody, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new UpstreamError('too-large', `more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
