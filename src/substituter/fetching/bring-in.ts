import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { FairQueue } from '../../queue/fair-queue.ts'
import { claimsFor } from '../finding/claims-for.ts'
import type { Remainder } from './complete-transfer.ts'
import type { Destination } from './destination.ts'
import type { Transfer } from './transfer.ts'
import type { RunningTransfer, TransferDeps } from './transfers.ts'
import type { VerificationQueue } from './verification-queue.ts'

/** A transfer that runs, and what ends it. */
export type Entry = RunningTransfer & {
  readonly key: NarFileKey
  readonly abort: AbortController
  /** Whether it is the promised NAR; set where it was handed out before that was known, and until it is. */
  verification: Promise<boolean> | null
}

/** Brings the NAR to its destination; what is left to do then needs no transfer's place. */
export type Bring = (
  transfer: Transfer,
  destination: Destination,
  signal: AbortSignal,
) => Promise<Remainder | null>

export type BringInDeps = Pick<TransferDeps, 'keeper' | 'stopping' | 'maxTransfers'> & {
  readonly places: FairQueue
  readonly verifications: VerificationQueue
}

/** Brings a NAR into the store, once it has its place. */
export async function bringIn(
  deps: BringInDeps,
  entry: Entry,
  bring: Bring,
  client: string,
): Promise<void> {
  await using staging = new AsyncDisposableStack()
  const signal = AbortSignal.any([entry.abort.signal, deps.stopping])
  const group = claimsFor(entry.answers, entry.key)[0]?.claim.upstream ?? null
  const inPlace = async (): Promise<(Remainder & { verification: Promise<boolean> }) | null> => {
    const staged = staging.use(await deps.keeper.stage())
    entry.transfer.attach(await staged.open())
    const left = await bring(entry.transfer, { kind: 'store', staged }, signal)
    if (left === null) return null
    const verification = deps.verifications.add(narFileName(entry.key), left.verify)
    entry.verification = verification
    // Each that waits has an open file, whose room nobody else can have.
    if (deps.verifications.waiting() > deps.maxTransfers) await verification
    return { ...left, verification }
  }
  const remainder = await deps.places.run({ client, group }, inPlace, () => signal)
  if (remainder === null || !(await remainder.verification)) return
  // From here on it is a transfer like others: nobody waits until it is on disk.
  entry.verification = null
  await remainder.keep()
}
