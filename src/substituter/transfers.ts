import pLimit from 'p-limit'
import { type NarFileKey, narFileName } from '../nix/nar-key.ts'
import type { Inquiry } from './inquiry.ts'
import { claimsFor, runTransfer, type RunDeps } from './run-transfer.ts'
import { createSuspects } from './suspects.ts'
import { Transfer } from './transfer.ts'

export type TransferDeps = Omit<RunDeps, 'suspects'> & {
  readonly maxTransfers: number
}

/** A NAR on its way in, and the question that its claims came from. */
export type RunningTransfer = { readonly transfer: Transfer; readonly inquiry: Inquiry }

/** The NARs on their way in: one transfer a NAR, whoever asks for it. */
export type Transfers = {
  /** The running transfer of a NAR. */
  running(key: NarFileKey): RunningTransfer | null
  /** Starts one, from the trusted claims for exactly this NAR that the inquiry has or still gets. */
  start(key: NarFileKey, inquiry: Inquiry): RunningTransfer
  /** Whether a part of this NAR was handed out that turned out wrong. */
  wasBroken(key: NarFileKey): boolean
  /** Ends what the policy trusts no more: its readers are cut off, and it is not kept. */
  policyChanged(): void
  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void>
}

type Entry = RunningTransfer & { readonly key: NarFileKey; readonly abort: AbortController }

export function createTransfers(deps: TransferDeps): Transfers {
  const running = new Map<string, Entry>()
  const ends = new Set<Promise<void>>()
  const limit = pLimit(deps.maxTransfers)
  const suspects = createSuspects(deps.clock)

  /** Who comes after a failure gets a try of their own; what is trusted no more nobody gets. */
  const joinable = (name: string): Entry | null => {
    const entry = running.get(name)
    if (entry === undefined || entry.transfer.failure !== null) return null
    return claimsFor(entry.inquiry, entry.key).length > 0 ? entry : null
  }

  const begin = (key: NarFileKey, inquiry: Inquiry): Entry => {
    const name = narFileName(key)
    const abort = new AbortController()
    const transfer = new Transfer()
    const entry = { key, inquiry, transfer, abort }
    running.set(name, entry)
    const signal = AbortSignal.any([abort.signal, deps.stopping])
    const end = limit(() => runTransfer({ ...deps, suspects }, { key, inquiry, transfer, signal }))
      .catch((error: unknown) => {
        if (!signal.aborted) {
          // Weir's own failure: a full disk, a dead thread.
          deps.meter.storeFailed()
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        }
        if (transfer.released > 0) suspects.noteBroken(key)
        transfer.fail({ kind: 'unknown', failures: [] })
      })
      .finally(async () => {
        // First nobody can join it any more, then its file is let go of.
        if (running.get(name) === entry) running.delete(name)
        await transfer.leave().catch((error: unknown) => {
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        })
        ends.delete(end)
      })
    ends.add(end)
    return entry
  }

  return {
    running: (key) => joinable(narFileName(key)),
    start: (key, inquiry) => joinable(narFileName(key)) ?? begin(key, inquiry),
    wasBroken: (key) => suspects.wasBroken(key),
    policyChanged() {
      for (const { key, inquiry, transfer, abort } of running.values()) {
        if (claimsFor(inquiry, key).length > 0) continue
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
