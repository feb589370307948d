import pLimit from 'p-limit'
import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import { isSameNar, type NarKey, narFileName } from '../nix/nar-key.ts'
import type { StoreDir } from '../nix/store-path.ts'
import type { TrustedAnswer } from '../policy/choose.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { IngestOutcome, NarIngest, NarSource, SourceFailure } from '../ports/nar-ingest.ts'
import type { NarStore, StagedNar } from '../ports/nar-store.ts'
import type { Inquiry } from './inquiry.ts'
import { narKeyOf, renderNarinfo, type Signing } from './render-narinfo.ts'
import type { StoreKeeper } from './store-keeper.ts'
import { createSuspects } from './suspects.ts'
import { Transfer, type TransferFailure } from './transfer.ts'

export type TransferDeps = {
  readonly storeDir: StoreDir
  readonly signing: Signing
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly ingest: NarIngest
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  readonly verifyFirstBytes: number
  readonly zstdLevel: number
  readonly maxTransfers: number
  /** Aborted when transfers must end, finished or not. */
  readonly stopping: AbortSignal
}

/** The NARs on their way in: one transfer a NAR, whoever asks for it. */
export type Transfers = {
  /** The running transfer of a NAR. */
  running(key: NarKey): Transfer | null
  /** Starts one, from the trusted claims for exactly this NAR that the inquiry has or still gets. */
  start(key: NarKey, inquiry: Inquiry): Transfer
  /** Whether a part of this NAR was handed out that turned out wrong. */
  wasBroken(key: NarKey): boolean
  /** Resolves when nothing is on its way any more. */
  idle(): Promise<void>
}

export function createTransfers(deps: TransferDeps): Transfers {
  const running = new Map<string, Transfer>()
  const ends = new Set<Promise<void>>()
  const limit = pLimit(deps.maxTransfers)
  const suspects = createSuspects(deps.clock)

  /** Who comes after a failure gets a try of their own. */
  const joinable = (name: string): Transfer | null => {
    const transfer = running.get(name)
    return transfer === undefined || transfer.failure !== null ? null : transfer
  }

  const begin = (key: NarKey, inquiry: Inquiry): Transfer => {
    const name = narFileName(key)
    const transfer = new Transfer()
    running.set(name, transfer)
    const end = limit(() => stageAndRun(deps, suspects, key, inquiry, transfer))
      .catch((error: unknown) => {
        if (!deps.stopping.aborted) {
          // Weir's own failure: a full disk, a dead thread.
          deps.meter.storeFailed()
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        }
        if (transfer.released > 0) suspects.noteBroken(key)
        transfer.fail({ kind: 'unknown', failures: [] })
      })
      .finally(async () => {
        // First nobody can join it any more, then its file is let go of.
        if (running.get(name) === transfer) running.delete(name)
        await transfer.leave().catch((error: unknown) => {
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        })
        ends.delete(end)
      })
    ends.add(end)
    return transfer
  }

  return {
    running: (key) => joinable(narFileName(key)),
    start: (key, inquiry) => joinable(narFileName(key)) ?? begin(key, inquiry),
    wasBroken: (key) => suspects.wasBroken(key),
    async idle() {
      while (ends.size > 0) await Promise.all(ends)
    },
  }
}

type Run = {
  readonly key: NarKey
  readonly inquiry: Inquiry
  readonly staged: StagedNar
  readonly transfer: Transfer
}

type Suspects = ReturnType<typeof createSuspects>

/** Takes a file and runs; what is staged and not kept is removed in every case. */
async function stageAndRun(
  deps: TransferDeps,
  suspects: Suspects,
  key: NarKey,
  inquiry: Inquiry,
  transfer: Transfer,
): Promise<void> {
  await using staged = await deps.store.stage()
  transfer.attach(await staged.open())
  await run(deps, suspects, { key, inquiry, staged, transfer })
}

async function run(deps: TransferDeps, suspects: Suspects, work: Run): Promise<void> {
  const { key, inquiry, transfer } = work
  const failures: SourceFailure[] = []
  const tried = new Set<TrustedAnswer>()
  let isSkipped = false
  for (;;) {
    // What is promised is the most preferred claim's word; whoever says the same may deliver.
    const first = inquiry.trusted().find((answer) => offers(answer, key))
    const answers = untriedSources(inquiry, key, tried)
    for (const answer of answers) tried.add(answer)
    if (first !== undefined && answers.length > 0) {
      const sources = suspects.order(key, answers.map(sourceOf))
      const outcome = await attempt(deps, suspects, work, first, sources, failures)
      if (outcome.kind === 'verified') {
        transfer.complete(outcome)
        if (await isChosen(inquiry, key)) await keep(deps, work, first, outcome)
        return
      }
      isSkipped ||= sources.length < answers.length
      const wasWrong = failures.some(({ kind }) => kind === 'corrupt')
      if (transfer.released > 0 && (wasWrong || !isReproducible(transfer.etag))) {
        suspects.noteBroken(key)
      }
    }
    // Where nothing was handed out yet, a late answer may still bring another source.
    if (transfer.released > 0 || !(await hasLateAnswers(inquiry, key, tried))) break
  }
  transfer.fail(failureOf(failures, isSkipped, inquiry))
}

async function hasLateAnswers(
  inquiry: Inquiry,
  key: NarKey,
  tried: ReadonlySet<TrustedAnswer>,
): Promise<boolean> {
  await inquiry.settled
  return untriedSources(inquiry, key, tried).length > 0
}

/** The trusted claims for the NAR that the most preferred one promises, NarSize included, that were not tried yet. */
function untriedSources(
  inquiry: Inquiry,
  key: NarKey,
  tried: ReadonlySet<TrustedAnswer>,
): readonly TrustedAnswer[] {
  const offered = inquiry.trusted().filter((answer) => offers(answer, key))
  const [first] = offered
  if (first === undefined) return []
  const { narSize } = first.verdict.narinfo
  return offered.filter(
    (answer) => answer.verdict.narinfo.narSize === narSize && !tried.has(answer),
  )
}

/**
 * Whether a body that was only cut can be gone on with later: the file that Weir makes is the same every time, one that is
 * passed on as it came may be followed by another.
 */
function isReproducible(etag: string): boolean {
  return etag.includes('-zstd')
}

/** Whether this is the NAR of the claim that is answered; the NAR of another trusted claim is given, but not kept. */
async function isChosen(inquiry: Inquiry, key: NarKey): Promise<boolean> {
  const choice = await inquiry.chosen
  return choice.kind === 'trusted' && offers(choice.answer, key)
}

/** Whether a claim speaks of this NAR. */
function offers({ verdict }: TrustedAnswer, key: NarKey): boolean {
  return isSameNar(narKeyOf(verdict.narinfo), key)
}

function sourceOf({ claim }: TrustedAnswer): NarSource {
  const { url, compression, fileHash } = claim.narinfo
  return {
    upstream: claim.upstream,
    url,
    compression,
    fileHash: fileHash === null ? null : formatHash(fileHash),
  }
}

async function attempt(
  deps: TransferDeps,
  suspects: Suspects,
  { key, staged, transfer }: Run,
  { verdict: { narinfo } }: TrustedAnswer,
  sources: readonly NarSource[],
  failures: SourceFailure[],
): Promise<IngestOutcome> {
  const narSize = Number(narinfo.narSize)
  const job = {
    storePathHash: key.storePathHash,
    narHash: `sha256:${key.narHash}`,
    narSize,
    ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
    sources,
    path: staged.path,
    verifyFirst: narSize <= deps.verifyFirstBytes,
    zstdLevel: deps.zstdLevel,
  }
  return deps.ingest.ingest(
    job,
    {
      released: (bytes, etag) => {
        transfer.release(bytes, etag)
      },
      fetched: (upstream, bytes) => {
        deps.meter.narFetched(upstream, bytes)
      },
      sourceFailed: (failure) => {
        suspects.note(key, failure, failures)
        failures.push(failure)
        deps.meter.narSourceFailed(failure.upstream, failure.code)
        deps.log.warn({ event: 'nar.source-failed', nar: narFileName(key), ...failure })
      },
    },
    deps.stopping,
  )
}

/** Keeps the NAR under the most preferred claim for it: the one whose promises, CA included, it was held against. */
async function keep(
  deps: TransferDeps,
  { key, staged }: Run,
  { claim, verdict }: TrustedAnswer,
  outcome: Extract<IngestOutcome, { kind: 'verified' }>,
): Promise<void> {
  const { fileBytes, fileHash, etag } = outcome
  const nowMs = deps.clock.nowMs()
  const stored = {
    key,
    upstream: claim.upstream,
    claim: claim.text,
    fileBytes,
    fileHash,
    etag,
    storedAtMs: nowMs,
    usedAtMs: nowMs,
  }
  const narinfo = renderNarinfo(verdict, deps.storeDir, deps.signing, outcome)
  await deps.keeper.keep(staged, stored, narinfo)
  const { upstream } = outcome
  deps.log.info({ event: 'nar.stored', nar: narFileName(key), upstream, bytes: fileBytes })
}

function failureOf(
  failures: readonly SourceFailure[],
  isSkipped: boolean,
  inquiry: Inquiry,
): TransferFailure {
  if (failures.some(({ kind }) => kind === 'unreachable')) return { kind: 'unknown', failures }
  // A source that was wrong a moment ago is not asked again so soon, and is wrong still.
  if (failures.some(({ kind }) => kind === 'corrupt') || isSkipped) {
    return { kind: 'corrupt', failures }
  }
  // Whoever could not tell about the path may have its NAR.
  const isOutage = inquiry.slots.some(
    ({ optional, answer }) => answer?.kind === 'unknown' && !optional,
  )
  return { kind: isOutage ? 'unknown' : 'absent', failures }
}
