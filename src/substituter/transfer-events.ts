import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { IngestEvents, SourceFailure } from '../ports/nar-ingest.ts'
import type { Destination } from './destination.ts'
import type { Suspects } from './suspects.ts'
import type { Transfer } from './transfer.ts'

type TellDeps = { readonly log: Log; readonly meter: Meter; readonly evidence: Evidence }
type EventDeps = TellDeps & { readonly suspects: Suspects }

type EventWork = {
  readonly key: NarFileKey
  readonly transfer: Transfer
  readonly destination: Destination
}

/** What a transfer does with what its ingestion tells; `failures` grows by each source that failed. */
export function transferEvents(
  deps: EventDeps,
  work: EventWork,
  failures: SourceFailure[],
): Pick<IngestEvents, 'released' | 'fetched' | 'sourceFailed'> {
  const { key } = work
  return {
    released: releaseNoted(deps, work),
    fetched: (upstream, bytes) => {
      deps.meter.narFetched(upstream, bytes)
    },
    sourceFailed: (failure) => {
      deps.suspects.note(key, failure, failures)
      failures.push(failure)
      tellFailure(deps, key, failure)
    },
  }
}

/** Releases what may be handed out, to who reads a file after a note of its ETag. */
function releaseNoted(
  deps: EventDeps,
  { key, transfer, destination }: EventWork,
): IngestEvents['released'] {
  const release = (bytes: number, etag: string): void => {
    transfer.release(bytes, etag)
  }
  if (destination.kind === 'reader') return release
  const { staged } = destination
  let noted: Promise<void> | null = null
  return (bytes, etag) => {
    staged.reserve(bytes)
    // Before anybody has a part of it: what resumes after a crash must not be given another file's rest.
    noted ??= staged.noteEtag(key, etag).catch((error: unknown) => {
      deps.log.warn({ event: 'transfer.not-noted', nar: narFileName(key), err: error })
    })
    void noted.then(() => {
      release(bytes, etag)
    })
  }
}

/** Tells of a source that did not give its NAR: of a wrong one also in the evidence. */
export function tellFailure(deps: TellDeps, key: NarFileKey, failure: SourceFailure): void {
  const { upstream, kind, code, message } = failure
  deps.meter.narSourceFailed(upstream, code)
  deps.log.warn({ event: 'nar.source-failed', nar: narFileName(key), ...failure })
  if (kind !== 'corrupt') return
  const detail = `sha256:${key.narHash}: ${message}`
  deps.evidence.happened({ kind: 'wrong-nar', hash: key.storePathHash, upstream, detail })
}
