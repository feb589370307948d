import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import { isSameNar, type NarFileKey, type NarKey } from '../nix/nar-key.ts'
import { isOutage, type TrustedAnswer } from '../policy/answer.ts'
import type { Claim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Meter } from '../ports/meter.ts'
import type { DeliveredNar, IngestOutcome, NarSource, SourceFailure } from '../ports/nar-ingest.ts'
import { type Destination, ingestInto } from './destination.ts'
import type { VerifyStored } from './adopt-nar.ts'
import type { ConvertDeps } from './convert-stored.ts'
import type { Inquiry } from './inquiry.ts'
import { keepNar } from './keep-nar.ts'
import { narKeyOf } from './render-narinfo.ts'
import { promisedCa, storedRecord, wasHeldAgainst } from './stored-record.ts'
import type { StagedRoom } from './staged-room.ts'
import type { Suspects } from './suspects.ts'
import { tellFailure, transferEvents } from './transfer-events.ts'
import type { Transfer, TransferFailure } from './transfer.ts'

export type RunDeps = ConvertDeps & {
  readonly policy: () => Policy
  readonly meter: Meter
  readonly evidence: Evidence
  readonly suspects: Suspects
  readonly verifyStored: VerifyStored
  /** Whether an upstream is one that files can be fetched from. */
  readonly isRemote: (upstream: string) => boolean
  /** Told of a claim that only its content address vouched for, and whose NAR was wrong. */
  readonly refuted: (claim: Claim) => void
}

/** A NAR to bring in, and who waits for it. */
export type TransferWork = {
  readonly key: NarFileKey
  readonly inquiry: Inquiry
  readonly transfer: Transfer
  readonly destination: Destination
  readonly signal: AbortSignal
}

type StagedWork = TransferWork & { readonly staged: StagedRoom }
type DeliveredOutcome = Extract<IngestOutcome, DeliveredNar>

/** What is left to do once everybody who waits has the file. */
export type Remainder = () => Promise<void>

/** Whose answers a NAR is trusted under. */
export type TrustedAnswers = Pick<Inquiry, 'trusted'>

/** The trusted claims for a NAR, in order of preference, that promise what the first of them promises, NarSize included. */
export function claimsFor(answers: TrustedAnswers, key: NarKey): readonly TrustedAnswer[] {
  const offered = answers
    .trusted()
    .filter(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key))
  const narSize = offered[0]?.verdict.narinfo.narSize
  return offered.filter(({ verdict }) => verdict.narinfo.narSize === narSize)
}

/** What says that a source's NAR as a whole is another one; a part of it that differs, or breaks off, says nothing of whose fault it is. */
const disproofs = new Set(['nar-hash-mismatch', 'content-address-mismatch', 'too-long'])

/** Brings a NAR into its staged file, from whoever promises it. A file that was only copied is still to be verified: the remainder. */
export async function runTransfer(deps: RunDeps, work: TransferWork): Promise<Remainder | null> {
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
      const sources = deps.suspects.order(key, sourcesOf(answers, key))
      const outcome = await attempt(deps, work, first, sources, failures)
      if (outcome.kind !== 'failed') return await complete(deps, work, first, outcome)
      isSkipped ||= sources.length < answers.length
      const wasWrong = failures.some(({ kind }) => kind === 'corrupt')
      if (transfer.released > 0 && wasWrong) deps.suspects.noteBroken(key)
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
  return null
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

/** In order of preference; what would have to be made of another compression than zstd, which takes long, comes last. */
function sourcesOf(
  answers: readonly TrustedAnswer[],
  { compression }: NarFileKey,
): readonly NarSource[] {
  const sources = answers.map(sourceOf)
  if (compression === 'zstd') return sources
  const isReady = (source: NarSource): boolean => source.compression === compression
  return sources.toSorted((one, other) => Number(isReady(other)) - Number(isReady(one)))
}

function sourceOf({ claim }: TrustedAnswer): NarSource {
  const { url, compression, fileHash } = claim.narinfo
  return {
    upstream: claim.upstream,
    url,
    file: null,
    compression,
    fileHash: fileHash === null ? null : formatHash(fileHash),
  }
}

async function attempt(
  deps: RunDeps,
  work: TransferWork,
  { verdict: { narinfo } }: TrustedAnswer,
  sources: readonly NarSource[],
  failures: SourceFailure[],
): Promise<DeliveredOutcome | { readonly kind: 'failed' }> {
  const { key, destination, signal } = work
  const { encoding, verifyFirstBytes, zstdLevel } = deps.nar()
  return ingestInto(
    { ingest: deps.ingest, key, destination, verifyFirstBytes },
    {
      narSize: Number(narinfo.narSize),
      ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
      sources,
      mayCopy: encoding === 'upstream',
      zstdLevel,
    },
    transferEvents(deps, work, failures),
    signal,
  )
}

/**
 * Ends a transfer well, and keeps the NAR under the claim that it was held against, CA included: where that one is still trusted, and
 * the NAR is the one that is answered. The NAR of another trusted claim is given, and not kept.
 */
async function complete(
  deps: RunDeps,
  work: TransferWork,
  heldAgainst: TrustedAnswer,
  outcome: DeliveredOutcome,
): Promise<Remainder | null> {
  // A policy that changed meanwhile has failed the transfer already.
  work.signal.throwIfAborted()
  const { transfer, destination } = work
  transfer.complete(outcome)
  if (destination.kind === 'reader') return null
  const staged = { ...work, staged: destination.staged }
  if (outcome.kind === 'copied') return () => verifyCopy(deps, staged, heldAgainst, outcome)
  await keep(deps, staged, heldAgainst, outcome)
  return null
}

async function keep(
  deps: RunDeps,
  { key, inquiry, staged }: StagedWork,
  heldAgainst: TrustedAnswer,
  outcome: DeliveredNar,
): Promise<void> {
  await inquiry.chosen
  const trusted = claimsFor(inquiry, key)
  const kept = trusted.find(({ claim }) => claim === heldAgainst.claim)
  const [chosen] = inquiry.trusted()
  if (kept === undefined || chosen === undefined || !trusted.includes(chosen)) return
  const verified = { ...outcome, verifiedCa: promisedCa(heldAgainst) }
  if (!wasHeldAgainst(kept, verified.verifiedCa)) return
  const at = { policy: deps.policy(), nowMs: deps.clock.nowMs() }
  await keepNar(deps, {
    ...{ staged, verdict: kept.verdict, maySign: inquiry.maySign(kept) },
    stored: storedRecord(key, kept, inquiry, verified, at),
    isTrusted: () => claimsFor(inquiry, key).some(({ claim }) => claim === kept.claim),
  })
}

/** Looks at last whether a copied file has the NAR that its claim promises; one that has another one is thrown away. */
async function verifyCopy(
  deps: RunDeps,
  work: StagedWork,
  heldAgainst: TrustedAnswer,
  outcome: DeliveredNar,
): Promise<void> {
  const { key, staged } = work
  const file = await staged.open()
  try {
    if (await deps.verifyStored(file, key.compression, heldAgainst.verdict.narinfo)) {
      await keep(deps, work, heldAgainst, outcome)
      return
    }
  } finally {
    await file.close()
  }
  const { upstream } = outcome
  const message = 'the NAR is not the one that NarHash promises; it was handed out as it came'
  const failure: SourceFailure = { upstream, kind: 'corrupt', code: 'nar-hash-mismatch', message }
  deps.suspects.note(key, failure, [])
  tellFailure(deps, key, failure)
  const isUnsigned = heldAgainst.verdict.voucher.kind === 'content-address'
  if (isUnsigned && heldAgainst.claim.upstream === upstream) deps.refuted(heldAgainst.claim)
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
