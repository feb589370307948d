import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { Evidence } from '../../ports/evidence.ts'
import type { Log } from '../../ports/log.ts'
import type { Meter } from '../../ports/meter.ts'
import type { SourceFailure } from '../../ports/nar-ingest.ts'

export type TellDeps = { readonly meter: Meter; readonly evidence: Evidence; readonly log: Log }

/** Tells of a source that did not give a NAR; one that gave a wrong one is recorded for good. */
export function tellFailure(deps: TellDeps, key: NarFileKey, failure: SourceFailure): void {
  const { upstream, kind, code, message } = failure
  deps.meter.narSourceFailed(upstream, code)
  deps.log.warn({ event: 'nar.source-failed', nar: narFileName(key), ...failure })
  if (kind !== 'corrupt') return
  const detail = `sha256:${key.narHash}: ${message}`
  deps.evidence.happened({ kind: 'wrong-nar', hash: key.storePathHash, upstream, detail })
}
