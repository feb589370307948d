import { type NarFileKey, narFileName } from '../../nix/nar-key.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { NarOnItsWay } from '../../ports/nar-on-its-way.ts'
import { createArrivals } from './arrivals.ts'
import { type Bring, bringIn, type Entry } from './bring-in.ts'
import { claimsFor, type TrustedAnswers } from '../finding/claims-for.ts'
import { convertStored, type StoredSource } from './convert-stored.ts'
import { createCutOff } from './cut-off.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import { weirItself } from '../finding/ask-upstreams.ts'
import type { QueueLoad } from '../../queue/fair-queue.ts'
import type { UpstreamHealth } from '../../ports/upstream-health.ts'
import { createOneByOne } from '../../keeper/one-by-one.ts'
import { type RunDeps, runTransfer } from './run-transfer.ts'
import { storeFailureOf } from '../../keeper/storage-code.ts'
import type { Storing, StoringAttempt } from '../../keeper/storing.ts'
import { createStreams, type RunningStream, type StreamDeps } from './streams.ts'
import { createSourceHealth } from './source-health.ts'
import { createSuspects } from './suspects.ts'
import { createTransferPlaces } from './transfer-places.ts'
import { Transfer } from './transfer.ts'
import { createVerificationQueue } from './verification-queue.ts'

export type TransferDeps = Omit<RunDeps, 'suspects' | 'oneByOne' | 'sources'> &
  StreamDeps & {
    readonly storing: Storing
    readonly health: UpstreamHealth
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
  /**
   * Starts one, from the trusted claims for exactly this NAR that the inquiry has or still gets. It waits for its place in turn with those of
   * other clients; without a client it is Weir's own.
   */
  start(key: NarFileKey, inquiry: Inquiry, client?: string): RunningTransfer
  /** Starts one from a file that is stored in another compression. */
  convert(key: NarFileKey, from: StoredSource, client?: string): RunningTransfer
  /** The same as `start`, for one reader, where nothing can be kept. */
  stream(key: NarFileKey, inquiry: Inquiry, client?: string): RunningStream
  /** The same as `convert`, for one reader, where nothing can be kept. */
  streamConverted(key: NarFileKey, from: StoredSource, client?: string): RunningStream
  /** Where a file was handed out as it came and is verified only now: resolves when that is known, which it hurries. */
  verified(key: NarFileKey): Promise<void>
  /** Those that come from upstreams, for those who look on. */
  onTheirWay(): readonly NarOnItsWay[]
  /** How many are on their way. */
  count(): number
  /** How many are being fetched or made, streams included, and how many wait for a place. */
  load(): QueueLoad
  /** Whether a part of this file was handed out that turned out wrong. */
  wasBroken(key: NarFileKey): boolean
  /** Ends what the policy trusts no more: its readers are cut off, and it is not kept. */
  policyChanged(): void
  /** Breaks off what is being fetched: from now on nobody is asked. What is complete, or made of what is stored, goes on. */
  cutFetches(): void
  /** Lets a path's upstreams be tried again that gave a wrong NAR of it; whether there were any. */
  forget(hash: StorePathHash): boolean
  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void>
}

export function createTransfers(deps: TransferDeps): Transfers {
  const running = new Map<string, Entry>()
  const ends = new Set<Promise<void>>()
  const places = createTransferPlaces(deps)
  const suspects = createSuspects(deps.clock)
  const sources = createSourceHealth(deps.health, deps.clock)
  const runDeps = { ...deps, suspects, sources, oneByOne: createOneByOne() }
  const verifications = createVerificationQueue()
  const streams = createStreams(deps)
  const fetches = createCutOff()
  const arrivals = createArrivals(deps.clock)
  const bringing = { ...deps, places, verifications }

  /** Who comes after a failure gets a try of their own; what is trusted no more nobody gets. */
  const joinable = (name: string): Entry | null => {
    const entry = running.get(name)
    if (entry === undefined || entry.transfer.failure !== null) return null
    if (entry.verification !== null) return null
    return claimsFor(entry.answers, entry.key).length > 0 ? entry : null
  }

  /** Weir's own failure: a full disk, a dead thread. Whether the file could not be written. */
  const failed = async (
    { key, answers }: Entry,
    attempt: StoringAttempt,
    error: unknown,
  ): Promise<boolean> => {
    deps.meter.narIngested('failed')
    deps.meter.storeFailed(storeFailureOf(error))
    deps.log.error({ event: 'transfer.failed', nar: narFileName(key), err: error })
    const [promised] = claimsFor(answers, key)
    return attempt.failed(error, Number(promised?.verdict.narinfo.narSize ?? 0n))
  }

  const begin = (
    key: NarFileKey,
    answers: TrustedAnswers,
    bring: Bring,
    client = weirItself,
  ): Entry => {
    const name = narFileName(key)
    const transfer = new Transfer()
    const abort = new AbortController()
    const { promise: ended, resolve: endNow } = Promise.withResolvers<undefined>()
    const entry: Entry = { key, answers, transfer, ended, abort, verification: null }
    running.set(name, entry)
    const attempt = deps.storing.attempt()
    const end = bringIn(bringing, entry, bring, client)
      .catch(async (error: unknown) => {
        const isOwn = !abort.signal.aborted && !deps.stopping.aborted
        const isUnwritten = isOwn && (await failed(entry, attempt, error))
        transfer.fail({ kind: isUnwritten ? 'unwritten' : 'unknown', failures: [] })
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

  const fetching =
    (key: NarFileKey, inquiry: Inquiry): Bring =>
    async (transfer, destination, owner) => {
      const remainder = await fetches.during(owner, (signal) =>
        runTransfer(runDeps, { key, inquiry, transfer, destination, signal }),
      )
      // A transfer that was cut off has not failed yet; one that came to its end stays what it is.
      if (remainder === null) transfer.fail({ kind: 'unknown', failures: [] })
      return remainder
    }

  const converting =
    (key: NarFileKey, from: StoredSource): Bring =>
    async (transfer, destination, signal) => {
      await convertStored(runDeps, { key, from, transfer, destination, signal })
      return null
    }

  return {
    running: (key) => joinable(narFileName(key)),
    start(key, inquiry, client) {
      const joined = joinable(narFileName(key))
      if (joined !== null) return joined
      const begun = begin(key, inquiry, fetching(key, inquiry), client)
      arrivals.began(key, inquiry, begun.transfer)
      return begun
    },
    convert: (key, from, client) =>
      joinable(narFileName(key)) ?? begin(key, from, converting(key, from), client),
    stream(key, inquiry, client) {
      const begun = streams.start(key, inquiry, fetching(key, inquiry), client)
      arrivals.began(key, inquiry, begun.transfer)
      return begun
    },
    streamConverted: (key, from, client) => streams.start(key, from, converting(key, from), client),
    async verified(key) {
      const entry = running.get(narFileName(key))
      if (entry === undefined || entry.verification === null) return
      verifications.hurry(narFileName(key))
      // Why it failed is told once, where it was begun.
      await entry.verification.catch(() => undefined)
    },
    onTheirWay: () => arrivals.list(),
    count: () => running.size,
    load() {
      const [kept, streamed] = [places.load(), streams.load()]
      return {
        running: kept.running + streamed.running,
        waiting: kept.waiting + streamed.waiting,
      }
    },
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
    cutFetches: () => {
      fetches.cut()
    },
    forget: (hash) => suspects.forget(hash),
    async idle() {
      while (ends.size > 0) await Promise.all(ends)
    },
  }
}
