import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { NarSource, SourceFailure } from '../ports/nar-ingest.ts'
import type { UpstreamHealth } from '../ports/upstream-health.ts'

/** The same sources, those last whose upstream is down: what it promised may be had elsewhere. */
export function upFirst(
  { isDown }: Pick<UpstreamHealth, 'isDown'>,
  sources: readonly NarSource[],
): readonly NarSource[] {
  return sources.toSorted(
    (one, other) => Number(isDown(one.upstream)) - Number(isDown(other.upstream)),
  )
}

/** Tells of a source that could not be reached. */
export function noteSourceFailure(
  { failed }: Pick<UpstreamHealth, 'failed'>,
  key: NarFileKey,
  { upstream, kind, code }: SourceFailure,
): void {
  if (kind === 'unreachable') failed(upstream, code, narFileName(key))
}
