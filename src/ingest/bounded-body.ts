import type { UpstreamBody } from '../ports/upstream.ts'
import { BadNarError } from './bad-nar-error.ts'

/** The same body; what is longer than any encoding of a NAR of `narSize` bytes has to be throws `too-long`. */
export async function* boundedBody(
  body: UpstreamBody,
  narSize: number,
): AsyncGenerator<Uint8Array> {
  // Incompressible content costs the formats well under 2 %, tiny NARs a header.
  const maxBytes = narSize + Math.ceil(narSize / 32) + 64 * 1024
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) {
      throw new BadNarError('too-long', `the file is longer than any NAR of ${narSize} bytes needs`)
    }
    yield chunk
  }
}
