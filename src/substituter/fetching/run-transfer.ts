import { formatContentAddress } from '../../nix/content-address.ts'
import { formatHash } from '../../nix/hash.ts'
import type { Narinfo } from '../../nix/narinfo.ts'
import { type NarFileKey, narFileName, type NarKey } from '../../nix/nar-key.ts'
import { isAwaited, isOpen, type TrustedAnswer } from '../../policy/answer.ts'
import type { Tracer } from '../../ports/tracer.ts'
import type { IngestJob, NarSource, SourceFailure } from '../../ports/nar-ingest.ts'
import { claimsFor } from '../finding/claims-for.ts'
import { complete, type CompleteDeps, refuteWrong, type Remainder } from './complete-transfer.ts'
import type { ConvertDeps } from './convert-stored.ts'
import type { Inquiry } from '../finding/inquiry.ts'
import { createReleases } from './releases.ts'
import type { SourceHealth } from './source-health.ts'
import { lenient, type Patience, strict } from './suspects.ts'
import { tellFailure } from './tell-failure.ts'
import { type Destination, type IngestedNar, ingestInto } from './destination.ts'
import type { Transfer, TransferFailure } from './transfer.ts'

export type RunDeps = ConvertDeps &
  CompleteDeps & {
    /** Whether an upstream is one that files can be fetched from. */
    readonly isRemote: (upstream: string) => boolean
    readonly sources: SourceHealth
    readonly tracer: Tracer
  }

/** A NAR to bring in, and who waits for it. */
export type TransferWork = {
  readonly key: NarFileKey
  readonly inquiry: Inquiry
  readonly transfer: Transfer
  readonly destination: Destination
  readonly signal: AbortSignal
}

/** Brings a NAR to its destination, from whoever promises it. A file that was only copied is still to be verified: the remainder. */
export async function runTransfer(deps: RunDeps, work: TransferWork): Promise<Remainder | null> {
  const { key, inquiry, transfer } = work
  const failures: SourceFailure[] = []
  const tried = new Set<string>()
  let isSkipped = false
  const isAvoided = ({ claim }: TrustedAnswer): boolean => deps.sources.isAvoided(claim.upstream)
  // Who was held back for those comes before them.
  if (inquiry.isHoldingBack && untried(deps, inquiry, key, tried).every(isAvoided)) {
    await inquiry.everybody()
  }
  for (let tries = 1; ; tries += 1) {
    // What is promised is the most preferred claim's word; whoever says the same may deliver.
    const [first] = claimsFor(inquiry, key)
    const answers = untried(deps, inquiry, key, tried)
    for (const { claim } of answers) tried.add(claim.upstream)
    if (first !== undefined && answers.length > 0) {
      const preferred = deps.sources.order(sourcesOf(answers, key))
      const sources = deps.suspects.order(key, preferred, patienceFor(deps, first))
      // Before one that could not tell is asked again, those are that were held back for it.
      const isTriedOnce = tries === 1 && inquiry.isHoldingBack
      const mayWait = !inquiry.slots.some(isAwaited)
      const asked = { sources, isTriedOnce, mayWait }
      const outcome = await attemptInSpan(deps, work, first, asked, failures)
      if (outcome.kind !== 'failed') {
        deps.sources.succeeded(outcome.upstream)
        return await complete(deps, work, first, outcome)
      }
      if (tries === 1) for (const upstream of triedAgain(failures, asked)) tried.delete(upstream)
      isSkipped ||= sources.length < answers.length
      const wasWrong = failures.some(({ kind }) => kind === 'corrupt')
      if (transfer.released > 0 && wasWrong) deps.suspects.noteBroken(key)
    }
    // Where nothing was handed out yet, a late answer may still bring another source, or that of somebody who was not needed so far.
    if (transfer.released > 0) break
    await inquiry.everybody()
    if (untried(deps, inquiry, key, tried).length === 0) break
  }
  deps.meter.narIngested('failed')
  transfer.fail(failureOf(failures, isSkipped, inquiry))
  refuteWrong(deps, work, failures)
  return null
}

/** Whose turn comes once more after the first try: those before whom others were held back, and hosts that may be waited for once all have answered. */
function triedAgain(
  failures: readonly SourceFailure[],
  { isTriedOnce, mayWait }: { readonly isTriedOnce: boolean; readonly mayWait: boolean },
): readonly string[] {
  return failures
    .filter(({ kind }) => kind === 'unreachable')
    .filter(({ code }) => isTriedOnce || (!mayWait && code === 'connect'))
    .map(({ upstream }) => upstream)
}

function patienceFor({ nar }: RunDeps, { verdict: { narinfo } }: TrustedAnswer): Patience {
  const narBytes = Number(narinfo.narSize)
  return narBytes <= nar().verifyFirstBytes ? lenient : strict(narBytes)
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

function attemptInSpan(
  deps: RunDeps,
  work: TransferWork,
  first: TrustedAnswer,
  from: Pick<IngestJob, 'sources' | 'isTriedOnce' | 'mayWait'>,
  failures: SourceFailure[],
): Promise<IngestedNar> {
  const attributes = {
    'weir.nar': narFileName(work.key),
    'weir.upstreams': from.sources.map(({ upstream }) => upstream).join(' '),
  }
  return deps.tracer.span({ name: 'fetch NAR', kind: 'client', attributes }, async (span) => {
    const outcome = await attempt(deps, work, first, from, failures)
    if (outcome.kind === 'failed') span.failed(failures.map(({ message }) => message).join('; '))
    else span.set({ 'weir.upstream': outcome.upstream })
    return outcome
  })
}

async function attempt(
  deps: RunDeps,
  work: TransferWork,
  { verdict: { narinfo } }: TrustedAnswer,
  from: Pick<IngestJob, 'sources' | 'isTriedOnce' | 'mayWait'>,
  failures: SourceFailure[],
): Promise<IngestedNar> {
  const { key, destination, signal, transfer } = work
  const { encoding, verifyFirstBytes, zstdLevel } = deps.nar()
  const releases = createReleases(deps, work)
  const outcome = await ingestInto(
    { ingest: deps.ingest, key, destination, demand: transfer.progress.demand, verifyFirstBytes },
    {
      narSize: Number(narinfo.narSize),
      expectedBytes: expectedBytes(narinfo),
      ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
      ...from,
      mayCopy: encoding === 'upstream',
      zstdLevel,
    },
    {
      released: (bytes, etag) => {
        releases.release(bytes, etag)
      },
      fetched: (upstream, bytes) => {
        deps.meter.narFetched(upstream, bytes)
        transfer.progress.fetched(upstream, bytes, deps.clock.nowMs())
      },
      sourceAnswered: (answer) => {
        deps.meter.upstreamAnswered({ object: 'nar', ...answer })
      },
      sourceFailed: (failure) => {
        deps.suspects.note(key, failure, failures)
        failures.push(failure)
        tellFailure(deps, key, failure)
        deps.sources.failed(key, failure)
      },
    },
    signal,
  )
  // Whether another source may begin anew rests on what was handed out.
  await releases.settled()
  return outcome
}

/** About what a NAR's file will take: zstd at its fastest is not twice as large as what an upstream keeps. */
function expectedBytes({ narSize, fileSize }: Narinfo): number {
  return Number(fileSize === null || 2n * fileSize > narSize ? narSize : 2n * fileSize)
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
  return { kind: inquiry.slots.some(isOpen) ? 'unknown' : 'absent', failures }
}
