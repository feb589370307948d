import type { IngestEvents, NarSource } from '../ports/nar-ingest.ts'
import { type UpstreamBody, UpstreamError } from '../ports/upstream.ts'
import { boundedBody } from './bounded-body.ts'
import { type Pace, tooSlow } from './pace.ts'
import { isWebPage } from './web-page.ts'

/** What came is told in pieces of this size: who looks on sees a large NAR move, and small ones cost one message. */
const toldBytes = 256 * 1024

export type BodyDeps = {
  readonly narSize: number
  readonly pace: Pace
  readonly events: Pick<IngestEvents, 'fetched'>
}

/** A source's file on its way in: bounded by what a NAR of `narSize` bytes may need, not too slow, and counted where it came from afar. */
export async function* sourceBody(
  { upstream, file, compression }: NarSource,
  body: UpstreamBody,
  { narSize, pace, events }: BodyDeps,
): AsyncGenerator<Uint8Array> {
  let told = 0
  const tell = (): void => {
    if (file === null) events.fetched(upstream, pace.bytes - told)
    told = pace.bytes
  }
  try {
    for await (const chunk of boundedBody(body, narSize)) {
      // It says nothing of the upstream's NAR: that one was not asked.
      if (pace.bytes === 0 && isWebPage(compression, chunk)) {
        throw new UpstreamError('web-page', 'a web page came instead of the NAR')
      }
      pace.came(chunk.length)
      if (pace.isTooSlow) throw tooSlow()
      if (pace.bytes - told >= toldBytes) tell()
      pace.handed()
      yield chunk
      pace.taken()
    }
  } finally {
    pace.ended()
    tell()
  }
}
