import type { NarFileKey } from '../../nix/nar-key.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Claim } from '../../policy/claim.ts'
import type { Policy } from '../../policy/policy.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DeliveredNar, SourceFailure } from '../../ports/nar-ingest.ts'
import type { VerifyStored } from './adopt-nar.ts'
import { claimsFor } from '../finding/claims-for.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import { type KeepDeps, keepNar } from './keep-nar.ts'
import type { Destination, IngestedNar } from './destination.ts'
import type { StagedRoom } from '../../keeper/staged-room.ts'
import { promisedCa, storedRecord, wasHeldAgainst } from '../finding/stored-record.ts'
import type { Suspects } from './suspects.ts'
import { tellFailure, type TellDeps } from './tell-failure.ts'
import type { Transfer } from './transfer.ts'

export type CompleteDeps = KeepDeps &
  TellDeps & {
    readonly policy: () => Policy
    readonly clock: Clock
    readonly suspects: Suspects
    readonly verifyStored: VerifyStored
    /** Told of a claim that only its content address vouched for, and whose NAR was wrong. */
    readonly refuted: (claim: Claim) => void
  }

/** A transfer whose file is whole. */
type Completion = {
  readonly key: NarFileKey
  readonly inquiry: Inquiry
  readonly transfer: Transfer
  readonly destination: Destination
  readonly signal: AbortSignal
}

type StagedCompletion = Completion & { readonly staged: StagedRoom }

/** What is left to do with a file that was only copied, once everybody who waits has it. */
export type Remainder = {
  /** Whether it has the NAR that is promised; one that has another one is told of. */
  readonly verify: () => Promise<boolean>
  /** Keeps it, where it has. */
  readonly keep: () => Promise<void>
}

/** What says that a source's NAR as a whole is another one; a part of it that differs, or breaks off, says nothing of whose fault it is. */
const disproofs = new Set(['nar-hash-mismatch', 'content-address-mismatch', 'too-long'])

/**
 * Ends a transfer well, and keeps the NAR under the claim that it was held against, CA included: where that one is still trusted, and
 * the NAR is the one that is answered. The NAR of another trusted claim is given, and not kept.
 */
export async function complete(
  deps: CompleteDeps,
  work: Completion,
  heldAgainst: TrustedAnswer,
  outcome: Exclude<IngestedNar, { kind: 'failed' }>,
): Promise<Remainder | null> {
  // A policy that changed meanwhile has failed the transfer already.
  work.signal.throwIfAborted()
  work.transfer.complete(outcome)
  if (work.destination.kind === 'reader') {
    deps.meter.narIngested('streamed')
    return null
  }
  const staged = { ...work, staged: work.destination.staged }
  const keepIt = async (): Promise<void> => {
    const isKept = await keep(deps, staged, heldAgainst, outcome)
    deps.meter.narIngested(isKept ? 'stored' : 'streamed')
  }
  if (outcome.kind === 'copied') {
    return { verify: () => verifyCopy(deps, staged, heldAgainst, outcome), keep: keepIt }
  }
  await keepIt()
  return null
}

/** Believes no more what only a content address vouched for, where its upstream's NAR was another one. */
export function refuteWrong(
  { refuted }: Pick<CompleteDeps, 'refuted'>,
  { key, inquiry }: Pick<Completion, 'key' | 'inquiry'>,
  failures: readonly SourceFailure[],
): void {
  for (const { claim, verdict } of claimsFor(inquiry, key)) {
    const isWrong = failures.some(
      ({ upstream, code }) => upstream === claim.upstream && disproofs.has(code),
    )
    if (isWrong && verdict.voucher.kind === 'content-address') refuted(claim)
  }
}

async function keep(
  deps: CompleteDeps,
  { key, inquiry, staged }: StagedCompletion,
  heldAgainst: TrustedAnswer,
  outcome: DeliveredNar,
): Promise<boolean> {
  await inquiry.chosen
  const trusted = claimsFor(inquiry, key)
  const kept = trusted.find(({ claim }) => claim === heldAgainst.claim)
  const [chosen] = inquiry.trusted()
  if (kept === undefined || chosen === undefined || !trusted.includes(chosen)) {
    return false
  }
  const verified = { ...outcome, verifiedCa: promisedCa(heldAgainst) }
  if (!wasHeldAgainst(kept, verified.verifiedCa)) return false
  const at = { policy: deps.policy(), nowMs: deps.clock.nowMs() }
  return keepNar(deps, {
    ...{ staged, verdict: kept.verdict, maySign: inquiry.maySign(kept) },
    stored: storedRecord(key, kept, inquiry, verified, at),
    isTrusted: () => claimsFor(inquiry, key).some(({ claim }) => claim === kept.claim),
  })
}

async function verifyCopy(
  deps: CompleteDeps,
  work: StagedCompletion,
  { verdict: { narinfo } }: TrustedAnswer,
  { upstream }: DeliveredNar,
): Promise<boolean> {
  const { key, staged, signal } = work
  signal.throwIfAborted()
  const file = await staged.open()
  try {
    const isRight = await deps.verifyStored(file, key.compression, narinfo)
    signal.throwIfAborted()
    if (isRight) return true
  } finally {
    await file.close()
  }
  const message = 'the NAR is not the one that NarHash promises; it was handed out as it came'
  const failure: SourceFailure = { upstream, kind: 'corrupt', code: 'nar-hash-mismatch', message }
  deps.suspects.note(key, failure, [])
  deps.suspects.noteBroken(key)
  deps.meter.narIngested('failed')
  tellFailure(deps, key, failure)
  refuteWrong(deps, work, [failure])
  return false
}
