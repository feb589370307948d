import type { IngestEvents, NarSource } from '../ports/nar-ingest.ts'
import { type UpstreamBody, UpstreamError } from '../ports/upstream.ts'
import { boundedBody } from './bounded-body.ts'
import { isWebPage } from './web-page.ts'

/** A source that stays below this rate for so long would hold a transfer's place for ever. */
const minBytesPerSecond = 1024
const slowSeconds = 30
/** What came is told in pieces of this size: who looks on sees a large NAR move, and small ones cost one message. */
const toldBytes = 256 * 1024

/** A source's file on its way in: bounded by what a NAR of `narSize` bytes may need, not too slow, and counted where it came from afar. */
export async function* sourceBody(
  { upstream, file, compression }: NarSource,
  body: UpstreamBody,
  narSize: number,
  events: Pick<IngestEvents, 'fetched'>,
): AsyncGenerator<Uint8Array> {
  const startedAt = performance.now()
  let fetched = 0
  let told = 0
  const tell = (): void => {
    if (file === null) events.fetched(upstream, fetched - told)
    told = fetched
  }
  // What waits for a slow client is not slow itself.
  let heldMs = 0
  try {
    for await (const chunk of boundedBody(body, narSize)) {
      // It says nothing of the upstream's NAR: that one was not asked.
      if (fetched === 0 && isWebPage(compression, chunk)) {
        throw new UpstreamError('web-page', 'a web page came instead of the NAR')
      }
      fetched += chunk.length
      const seconds = (performance.now() - startedAt - heldMs) / 1000
      if (seconds > slowSeconds && fetched / seconds < minBytesPerSecond) {
        throw new UpstreamError('too-slow', `slower than ${minBytesPerSecond} bytes a second`)
      }
      if (fetched - told >= toldBytes) tell()
      const handedAt = performance.now()
      yield chunk
      heldMs += performance.now() - handedAt
    }
  } finally {
    tell()
  }
}
