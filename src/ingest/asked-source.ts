import type { IngestEvents, NarSource, SourceAnswer } from '../ports/nar-ingest.ts'

/** A question for a source's file, begun now. */
export type AskedSource = {
  /** The file begins to come. */
  began(): void
  /** Tells what came of it: once. */
  ended(result: SourceAnswer['result']): void
}

/** Tells of questions to upstreams; a stored file is asked of nobody. */
export function askedSource(
  { upstream, file }: NarSource,
  events: Pick<IngestEvents, 'sourceAnswered'>,
): AskedSource {
  const startedAt = performance.now()
  const secondsNow = (): number => (performance.now() - startedAt) / 1000
  let begun: number | null = null
  return {
    began() {
      begun = secondsNow()
    },
    ended(result) {
      if (file !== null) return
      events.sourceAnswered({ upstream, result, seconds: begun ?? secondsNow() })
    },
  }
}
