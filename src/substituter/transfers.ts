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
  start(key: NarKey, inquiry: Inquiry): Promise<Transfer>
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

  const begin = async (key: NarKey, inquiry: Inquiry): Promise<Transfer> => {
    const name = narFileName(key)
    const staged = await deps.store.stage()
    const transfer = new Transfer(await staged.open())
    running.set(name, transfer)
    const end = limit(() => run(deps, suspects, { key, inquiry, staged, transfer }))
      .catch((error: unknown) => {
        if (!deps.stopping.aborted) {
          // Weir's own failure: a full disk, a dead thread.
          deps.meter.storeFailed()
          deps.log.error({ event: 'transfer.failed', nar: name, err: error })
        }
        transfer.fail({ kind: 'unknown', failures: [] })
      })
      .finally(async () => {
        running.delete(name)
        ends.delete(end)
        await staged[Symbol.asyncDispose]()
        await transfer.leave()
      })
    ends.add(end)
    return transfer
  }

  const starting = new Map<string, Promise<Transfer>>()
  return {
    running: (key) => running.get(narFileName(key)) ?? null,
    start(key, inquiry) {
      const name = narFileName(key)
      const existing = running.get(name)
      if (existing !== undefined) return Promise.resolve(existing)
      const begun = starting.get(name) ?? begin(key, inquiry).finally(() => starting.delete(name))
      starting.set(name, begun)
      return begun
    },
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

async function run(deps: TransferDeps, suspects: Suspects, work: Run): Promise<void> {
  const { key, inquiry, transfer } = work
  const failures: SourceFailure[] = []
  const tried = new Set<TrustedAnswer>()
  for (;;) {
    const answers = inquiry.trusted().filter((answer) => offers(answer, key) && !tried.has(answer))
    for (const answer of answers) tried.add(answer)
    const [first] = answers
    if (first !== undefined) {
      const sources = suspects.order(key, answers.map(sourceOf))
      const outcome = await attempt(deps, suspects, work, first, sources, failures)
      if (outcome.kind === 'verified') {
        transfer.complete(outcome)
        await keep(deps, work, answers, outcome)
        return
      }
      if (transfer.released > 0) suspects.noteBroken(key)
    }
    // Where nothing was handed out yet, a late answer may still bring another source.
    if (transfer.released > 0 || !(await hasLateAnswers(inquiry, key, tried))) break
  }
  transfer.fail(failureOf(failures, tried.size))
}

async function hasLateAnswers(
  inquiry: Inquiry,
  key: NarKey,
  tried: ReadonlySet<TrustedAnswer>,
): Promise<boolean> {
  await inquiry.settled
  return inquiry.trusted().some((answer) => offers(answer, key) && !tried.has(answer))
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

async function keep(
  deps: TransferDeps,
  { key, staged }: Run,
  answers: readonly TrustedAnswer[],
  outcome: Extract<IngestOutcome, { kind: 'verified' }>,
): Promise<void> {
  const { upstream, fileBytes, fileHash, etag } = outcome
  const answer = answers.find(({ claim }) => claim.upstream === upstream)
  if (answer === undefined)
    throw new Error(`an ingestion came from ${upstream}, which was not asked`)
  const nowMs = deps.clock.nowMs()
  const claim = answer.claim.text
  const stored = {
    key,
    upstream,
    claim,
    fileBytes,
    fileHash,
    etag,
    storedAtMs: nowMs,
    usedAtMs: nowMs,
  }
  const narinfo = renderNarinfo(answer.verdict, deps.storeDir, deps.signing, outcome)
  await deps.keeper.keep(staged, stored, narinfo)
  deps.log.info({ event: 'nar.stored', nar: narFileName(key), upstream, bytes: fileBytes })
}

function failureOf(failures: readonly SourceFailure[], tried: number): TransferFailure {
  if (failures.some(({ kind }) => kind === 'unreachable')) return { kind: 'unknown', failures }
  // Tried and no failure: every source was wrong a moment ago, and is not asked again so soon.
  if (failures.some(({ kind }) => kind === 'corrupt') || (tried > 0 && failures.length === 0)) {
    return { kind: 'corrupt', failures }
  }
  return { kind: 'absent', failures }
}
