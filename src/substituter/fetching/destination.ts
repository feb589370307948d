import type { NarFileKey } from '../../nix/nar-key.ts'
import type {
  Demand,
  IngestEvents,
  IngestJob,
  IngestOutcome,
  NarIngest,
} from '../../ports/nar-ingest.ts'
import type { StagedRoom } from '../../keeper/staged-room.ts'
import { StorageError } from '../../keeper/storage-code.ts'

/** Where a NAR on its way goes to: a staged file, to be kept, or past its one reader. */
export type Destination =
  { readonly kind: 'store'; readonly staged: StagedRoom } | ReaderDestination

export type ReaderDestination = Pick<IngestEvents, 'piece' | 'restarted'> & {
  readonly kind: 'reader'
  /** The most bytes of a NAR that may be held until it is verified; larger ones pass as they come. */
  readonly maxHeldBytes: number
  /** Resolves once there is memory for a NAR of so many bytes. */
  readonly hold: (bytes: number, signal: AbortSignal) => Promise<void>
}

export type IngestInto = {
  readonly ingest: NarIngest
  readonly key: NarFileKey
  readonly destination: Destination
  readonly demand: Demand
  readonly verifyFirstBytes: number
}

/** `expectedBytes` is about what the file will take. */
type Job = { readonly expectedBytes: number } & Pick<
  IngestJob,
  'narSize' | 'ca' | 'sources' | 'isTriedOnce' | 'mayWait' | 'mayCopy' | 'zstdLevel'
>
type Events = Pick<IngestEvents, 'released' | 'sourceAnswered' | 'sourceFailed' | 'fetched'>
/** How it ended, with a file that could be written. */
export type IngestedNar = Exclude<IngestOutcome, { kind: 'unwritten' }>

/** Ingests a NAR into its destination; throws `StorageError` where its file cannot be written. */
export async function ingestInto(
  { ingest, key, destination, demand, verifyFirstBytes }: IngestInto,
  job: Job,
  events: Events,
  signal: AbortSignal,
): Promise<IngestedNar> {
  const { expectedBytes, ...rest } = job
  const { narSize } = rest
  const isReader = destination.kind === 'reader'
  const heldBytes = isReader
    ? Math.min(verifyFirstBytes, destination.maxHeldBytes)
    : verifyFirstBytes
  const verifyFirst = narSize <= heldBytes
  // What is verified first is told of at its end only; what is larger takes room as it grows.
  if (verifyFirst) {
    if (isReader) await destination.hold(narSize, signal)
    else destination.staged.reserve(expectedBytes)
  }
  const outcome = await ingest.ingest(
    {
      ...rest,
      storePathHash: key.storePathHash,
      narHash: `sha256:${key.narHash}`,
      compression: key.compression,
      path: isReader ? null : destination.staged.path,
      verifyFirst,
      // What is not kept cannot be looked at later.
      mayCopy: job.mayCopy && !isReader,
    },
    { ...events, ...(isReader ? destination : noPieces) },
    signal,
    demand,
  )
  if (outcome.kind === 'unwritten') throw new StorageError(outcome.code, outcome.message)
  return outcome
}

/** What is written to a file comes in no pieces. */
const noPieces: Pick<IngestEvents, 'piece' | 'restarted'> = {
  piece: () => Promise.resolve(),
  restarted: () => undefined,
}
