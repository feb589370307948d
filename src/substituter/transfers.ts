import pLimit from 'p-limit'
import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import { claimsFor, type TrustedAnswers } from './claims-for.ts'
import type { Remainder } from './complete-transfer.ts'
import { convertStored, type StoredSource } from './convert-stored.ts'
import type { Inquiry } from './inquiry.ts'
import { createOneByOne } from './one-by-one.ts'
import { type RunDeps, runTransfer } from './run-transfer.ts'
import type { StagedRoom } from './staged-room.ts'
import { createSuspects } from './suspects.ts'
import { Transfer } from './transfer.ts'
import { createVerificationQueue } from './verification-queue.ts'

export type TransferDeps = Omit<RunDeps, 'suspects' | 'oneByOne'> & {
  readonly maxTransfers: number
  /** Aborted when transfers must end, finished or not. */
  readonly stopping: AbortSignal
}

/** A NAR on its way in, and whose answers it is trusted under. */
export type RunningTransfer = {
  readonly transfer: Transfer
  readonly answers: TrustedAnswers
  /** Resolves once the NAR is kept, or will not be. */
  readonly ended: Promise<void>
}

/** The NARs on their way in: one transfer a file, whoever asks for it. */
export type Transfers = {
  /** The running transfer of a file. */
  running(key: NarFileKey): RunningTransfer | null
  /** Starts one, from the trusted claims for exactly this NAR that the inquiry has or still gets. */
  start(key: NarFileKey, inquiry: Inquiry): RunningTransfer
  /** Starts one from a file that is stored in another compression. */
  convert(key: NarFileKey, from: StoredSource): RunningTransfer
  /** Where a file was handed out as it came and is verified only now: resolves when that is known, which it hurries. */
  verified(key: NarFileKey): Promise<void>
  /** How many are on their way. */
  count(): number
  /** Whether a part of this file was handed out that turned out wrong. */
  wasBroken(key: NarFileKey): boolean
  /** Ends what the policy trusts no more: its readers are cut off, and it is not kept. */
  policyChanged(): void
  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void>
}

type Entry = RunningTransfer & {
  readonly key: NarFileKey
  readonly abort: AbortController
  /** Whether it is the promised NAR; set where it was handed out before that was known, and until it is. */
  verification: Promise<boolean> | null
}

/** Brings the NAR into the staged file; what is left to do then needs no transfer's place. */
type Bring = (entry: Entry, staged: StagedRoom, signal: AbortSignal) => Promise<Remainder | null>

export function createTransfers(deps: TransferDeps): Transfers {
  const running = new Map<string, Entry>()
  const ends = new Set<Promise<void>>()
  const limit = pLimit(deps.maxTransfers)
  const suspects = createSuspects(deps.clock)
  const runDeps = { ...deps, suspects, oneByOne: createOneByOne() }
  const verifications = createVerificationQueue()

  /** Who comes after a failure gets a try of their own; what is trusted no more nobody gets. */
  const joinable = (name: string): Entry | null => {
    const entry = running.get(name)
    if (entry === undefined || entry.transfer.failure !== null) return null
    if (entry.verification !== null) return null
    return claimsFor(entry.answers, entry.key).length > 0 ? entry : null
  }

  const bringIn = async (entry: Entry, bring: Bring): Promise<void> => {
    await using staging = new AsyncDisposableStack()
    const signal = AbortSignal.any([entry.abort.signal, deps.stopping])
    const remainder = await limit(async () => {
      const staged = staging.use(await deps.keeper.stage())
      entry.transfer.attach(await staged.open())
      const left = await bring(entry, staged, signal)
      if (left === null) return null
      const verification = verifications.add(narFileName(entry.key), left.verify)
      entry.verification = verification
      // Each that waits has an open file, whose room nobody else can have.
      if (verifications.waiting() > deps.maxTransfers) await verification
      return { ...left, verification }
    })
    if (remainder === null || !(await remainder.verification)) return
    // From here on it is a transfer like others: nobody waits until it is on disk.
    entry.verification = null
    await remainder.keep()
  }

  const begin = (key: NarFileKey, answers: TrustedAnswers, bring: Bring): Entry => {
    const name = narFileName(key)
    const transfer = new Transfer()
    const abort = new AbortController()
    const { promise: ended, resolve: endNow } = Promise.withResolvers<undefined>()
    const entry: Entry = { key, answers, transfer, ended, abort, verification: null }
    running.set(name, entry)
    const end = bringIn(entry, bring)
      .catch((error: unknown) => {
        if (!abort.signal.aborted && !deps.stopping.aborted) {
          // Weir's own failure: a full disk, a dead thread.
          deps.meter.storeFailed()
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        }
        transfer.fail({ kind: 'unknown', failures: [] })
      })
      .finally(async () => {
        // First nobody can join it any more, then its file is let go of.
        if (running.get(name) === entry) running.delete(name)
        await transfer.leave().catch((error: unknown) => {
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        })
        ends.delete(end)
        endNow(undefined)
      })
    ends.add(end)
    return entry
  }

  return {
    running: (key) => joinable(narFileName(key)),
    start: (key, inquiry) =>
      joinable(narFileName(key)) ??
      begin(key, inquiry, ({ transfer }, staged, signal) =>
        runTransfer(runDeps, { key, inquiry, transfer, staged, signal }),
      ),
    convert: (key, from) =>
      joinable(narFileName(key)) ??
      begin(key, from, async ({ transfer }, staged, signal) => {
        await convertStored(runDeps, { key, from, transfer, staged, signal })
        return null
      }),
    async verified(key) {
      const entry = running.get(narFileName(key))
      if (entry === undefined || entry.verification === null) return
      verifications.hurry(narFileName(key))
      // Why it failed is told once, where it was begun.
      await entry.verification.catch(() => undefined)
    },
    count: () => running.size,
    wasBroken: (key) => suspects.wasBroken(key),
    policyChanged() {
      for (const { key, answers, transfer, abort } of running.values()) {
        if (claimsFor(answers, key).length > 0) continue
        if (transfer.released > 0) suspects.noteBroken(key)
        transfer.fail({ kind: 'refused', failures: [] })
        abort.abort()
        deps.log.warn({ event: 'transfer.refused', nar: narFileName(key) })
      }
    },
    async idle() {
      while (ends.size > 0) await Promise.all(ends)
    },
  }
}
