import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import { isSameNar, type NarFileKey, narFileName, type NarKey } from '../nix/nar-key.ts'
import type { StoreDir } from '../nix/store-path.ts'
import { isOutage, type TrustedAnswer } from '../policy/answer.ts'
import type { Claim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { IngestOutcome, NarIngest, NarSource, SourceFailure } from '../ports/nar-ingest.ts'
import type { NarStore, StagedNar } from '../ports/nar-store.ts'
import type { Inquiry } from './inquiry.ts'
import { narKeyOf, renderNarinfo, type Signing, storedSigning } from './render-narinfo.ts'
import type { StoreKeeper } from './store-keeper.ts'
import { promisedCa, storedRecord, wasHeldAgainst } from './stored-record.ts'
import type { Suspects } from './suspects.ts'
import type { Transfer, TransferFailure } from './transfer.ts'

export type RunDeps = {
  readonly policy: () => Policy
  readonly storeDir: StoreDir
  readonly signing: () => Signing
  readonly store: NarStore
  readonly keeper: StoreKeeper
  readonly ingest: NarIngest
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  readonly suspects: Suspects
  readonly nar: () => { readonly verifyFirstBytes: number; readonly zstdLevel: number }
  /** Whether an upstream is one that files can be fetched from. */
  readonly isRemote: (upstream: string) => boolean
  /** Told of a claim that only its content address vouched for, and whose NAR was wrong. */
  readonly refuted: (claim: Claim) => void
  /** Aborted when transfers must end, finished or not. */
  readonly stopping: AbortSignal
}

/** A NAR to bring in, and who waits for it. */
export type TransferWork = {
  readonly key: NarFileKey
  readonly inquiry: Inquiry
  readonly transfer: Transfer
  readonly signal: AbortSignal
}

type Run = TransferWork & { readonly staged: StagedNar }
type Verified = Extract<IngestOutcome, { kind: 'verified' }>

/** The trusted claims for a NAR, in order of preference, that promise what the first of them promises, NarSize included. */
export function claimsFor(inquiry: Inquiry, key: NarKey): readonly TrustedAnswer[] {
  const offered = inquiry
    .trusted()
    .filter(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key))
  const narSize = offered[0]?.verdict.narinfo.narSize
  return offered.filter(({ verdict }) => verdict.narinfo.narSize === narSize)
}

/** Takes a file and brings the NAR into it; what is staged and not kept is removed in every case. */
export async function runTransfer(deps: RunDeps, work: TransferWork): Promise<void> {
  await using staged = await deps.store.stage()
  work.transfer.attach(await staged.open())
  await run(deps, { ...work, staged })
}

/** What says that a source's NAR as a whole is another one; a part of it that differs, or breaks off, says nothing of whose fault it is. */
const disproofs = new Set(['nar-hash-mismatch', 'content-address-mismatch', 'too-long'])

async function run(deps: RunDeps, work: Run): Promise<void> {
  const { key, inquiry, transfer } = work
  const failures: SourceFailure[] = []
  const tried = new Set<string>()
  let isSkipped = false
  for (;;) {
    // What is promised is the most preferred claim's word; whoever says the same may deliver.
    const [first] = claimsFor(inquiry, key)
    const answers = untried(deps, inquiry, key, tried)
    for (const { claim } of answers) tried.add(claim.upstream)
    if (first !== undefined && answers.length > 0) {
      const sources = deps.suspects.order(key, answers.map(sourceOf))
      const outcome = await attempt(deps, work, first, sources, failures)
      if (outcome.kind === 'verified') {
        await complete(deps, work, first, outcome)
        return
      }
      isSkipped ||= sources.length < answers.length
      const wasWrong = failures.some(({ kind }) => kind === 'corrupt')
      if (transfer.released > 0 && (wasWrong || !isReproducible(transfer.etag))) {
        deps.suspects.noteBroken(key)
      }
    }
    // Where nothing was handed out yet, a late answer may still bring another source.
    if (transfer.released > 0) break
    await inquiry.settled
    if (untried(deps, inquiry, key, tried).length === 0) break
  }
  transfer.fail(failureOf(failures, isSkipped, inquiry))
  for (const { claim, verdict } of claimsFor(inquiry, key)) {
    const isWrong = failures.some(
      ({ upstream, code }) => upstream === claim.upstream && disproofs.has(code),
    )
    if (isWrong && verdict.voucher.kind === 'content-address') deps.refuted(claim)
  }
}

function untried(
  deps: RunDeps,
  inquiry: Inquiry,
  key: NarKey,
  tried: ReadonlySet<string>,
): readonly TrustedAnswer[] {
  return claimsFor(inquiry, key).filter(
    ({ claim: { upstream } }) => deps.isRemote(upstream) && !tried.has(upstream),
  )
}

/**
 * Whether a body that was only cut can be gone on with later: the file that Weir makes is the same every time, one that is
 * passed on as it came may be followed by another.
 */
function isReproducible(etag: string): boolean {
  return etag.includes('-zstd')
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
  deps: RunDeps,
  { key, staged, transfer, signal }: Run,
  { verdict: { narinfo } }: TrustedAnswer,
  sources: readonly NarSource[],
  failures: SourceFailure[],
): Promise<IngestOutcome> {
  const { verifyFirstBytes, zstdLevel } = deps.nar()
  const narSize = Number(narinfo.narSize)
  const job = {
    storePathHash: key.storePathHash,
    narHash: `sha256:${key.narHash}`,
    narSize,
    ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
    sources,
    path: staged.path,
    verifyFirst: narSize <= verifyFirstBytes,
    zstdLevel,
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
        deps.suspects.note(key, failure, failures)
        failures.push(failure)
        deps.meter.narSourceFailed(failure.upstream, failure.code)
        deps.log.warn({ event: 'nar.source-failed', nar: narFileName(key), ...failure })
      },
    },
    signal,
  )
}

/**
 * Ends a transfer well, and keeps the NAR under the claim that it was held against, CA included: where that one is still trusted, and
 * the NAR is the one that is answered. The NAR of another trusted claim is given, and not kept.
 */
async function complete(
  deps: RunDeps,
  work: Run,
  heldAgainst: TrustedAnswer,
  outcome: Verified,
): Promise<void> {
  const { key, inquiry, transfer, signal } = work
  // A policy that changed meanwhile has failed the transfer already.
  signal.throwIfAborted()
  transfer.complete(outcome)
  await inquiry.chosen
  const trusted = claimsFor(inquiry, key)
  const kept = trusted.find(({ claim }) => claim === heldAgainst.claim)
  const [chosen] = inquiry.trusted()
  if (kept === undefined || chosen === undefined || !trusted.includes(chosen)) return
  const verified = { ...outcome, verifiedCa: promisedCa(heldAgainst) }
  if (!wasHeldAgainst(kept, verified.verifiedCa)) return
  const at = { policy: deps.policy(), nowMs: deps.clock.nowMs() }
  const stored = storedRecord(key, kept, inquiry, verified, at)
  const signing = { ...storedSigning(deps.signing()), maySign: inquiry.maySign(kept) }
  const narinfo = renderNarinfo(kept.verdict, deps.storeDir, signing, {
    compression: key.compression,
    verified: outcome,
  })
  await deps.keeper.keep(work.staged, stored, narinfo)
  if (!claimsFor(inquiry, key).some(({ claim }) => claim === kept.claim)) {
    // The policy changed while it was written: a recall may have looked for it already.
    await deps.keeper.drop(stored)
    return
  }
  const { upstream, fileBytes } = outcome
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
  return { kind: inquiry.slots.some(isOutage) ? 'unknown' : 'absent', failures }
}
