import { type Backoff, fullJitterMs } from '../policy/full-jitter.ts'
import type { NarSource } from '../ports/nar-ingest.ts'
import type { Timing } from '../upstream/timing.ts'
import type { Outages } from './outages.ts'

/** The sources whose hosts refused connections at their last try, and until when they are worth waiting for. */
export type RefusedSources = Map<NarSource, number>

/** A refusal costs a host nothing: the pause need not grow. */
const backoff: Backoff = { baseMs: 400, capMs: 400 }

/**
 * Waits for those who refused a moment ago, by trying them again and again: whatever `tryAgain` returns that is not `null`, else `null`
 * once they are not worth it any more. It keeps `refused` up to date.
 */
export async function waitOut<Outcome>(
  { timing, outages }: { readonly timing: Timing; readonly outages: Outages },
  refused: RefusedSources,
  tryAgain: (sources: readonly NarSource[]) => Promise<Outcome | null>,
  signal: AbortSignal,
): Promise<Outcome | null> {
  using place = refused.size === 0 ? null : outages.enter()
  if (place === null) return null
  for (;;) {
    const isWorthIt = ([, untilMs]: readonly [NarSource, number]) => outages.nowMs() < untilMs
    const sources = [...refused].filter(isWorthIt).map(([source]) => source)
    if (sources.length === 0) return null
    await timing.pause(fullJitterMs(1, backoff, timing.random), signal)
    const outcome = await tryAgain(sources)
    if (outcome !== null) return outcome
  }
}
