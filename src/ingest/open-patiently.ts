import type { NarSource } from '../ports/nar-ingest.ts'
import type { UpstreamBody } from '../ports/upstream.ts'
import type { Timing } from '../upstream/timing.ts'
import type { OpenSource } from './open-source.ts'
import { isRefusal, type Outages } from './outages.ts'

export type PatientDeps = {
  readonly open: OpenSource
  readonly timing: Timing
  readonly outages: Outages
}

/** From the least to the most between two tries: a refusal costs an upstream nothing. */
const pauseMs = { least: 100, most: 300 } as const

/** Opens a source's file; where its server went away a moment ago, a patient one waits for it. */
export async function openPatiently(
  { open, timing, outages }: PatientDeps,
  source: NarSource,
  signal: AbortSignal,
  { isPatient }: { readonly isPatient: boolean },
): Promise<UpstreamBody | null> {
  for (;;) {
    try {
      const opened = await open(source, signal)
      outages.ended(source.upstream)
      return opened
    } catch (error) {
      if (!isRefusal(error)) outages.ended(source.upstream)
      const mayBeBack = isRefusal(error) && outages.isNew(source.upstream)
      if (signal.aborted || !mayBeBack || !isPatient) throw error
    }
    const { least, most } = pauseMs
    await timing.pause(least + timing.random() * (most - least), signal)
  }
}
