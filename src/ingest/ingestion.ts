import {
  type Demand,
  type IngestEvents,
  type IngestJob,
  type IngestOutcome,
  type NarSource,
  noDemand,
} from '../ports/nar-ingest.ts'
import type { Timing } from '../upstream/timing.ts'
import type { FailedTry } from './failed-try.ts'
import { IngestedFile, type Turn } from './ingested-file.ts'
import { type NarSink, UnwrittenError } from './nar-sink.ts'
import { nextRound, type Waiting } from './next-round.ts'
import type { OpenSource } from './open-source.ts'
import type { Outages } from './outages.ts'
import { PartialFile } from './partial-file.ts'
import { Renewals } from './renewals.ts'
import type { RetryBudget } from './retry-budget.ts'
import { StreamSink, streamWindowBytes } from './stream-sink.ts'
import { type RefusedSources, waitOut } from './wait-out.ts'

export type IngestDeps = {
  readonly open: OpenSource
  readonly timing: Timing
  readonly outages: Outages
  readonly budget: RetryBudget
}

/** Runs the whole chain of one NAR: fetch, decompress, verify, encode, write. Sources that could not tell are tried again, a few times. */
export async function ingest(
  job: IngestJob,
  deps: IngestDeps,
  events: IngestEvents,
  signal: AbortSignal,
  demand: Demand = noDemand,
): Promise<IngestOutcome> {
  try {
    using renewals = new Renewals(demand)
    return await ingestWritten(job, { ...deps, renewals }, events, signal)
  } catch (error) {
    if (!(error instanceof UnwrittenError)) throw error
    return { kind: 'unwritten', code: error.code, message: error.message }
  }
}

/** The same; throws `UnwrittenError` where the file cannot be written. */
async function ingestWritten(
  job: IngestJob,
  { budget, ...deps }: IngestDeps & { readonly renewals: Renewals },
  events: IngestEvents,
  signal: AbortSignal,
): Promise<IngestOutcome> {
  using sink = openSink(job, events, signal)
  using file = new IngestedFile(job, sink, { ...deps, events })
  const refused: RefusedSources = new Map()
  const asking = { file, refused, outages: deps.outages, signal }
  let waiting: readonly Waiting<NarSource>[] = []
  let sources = job.sources
  for (const { upstream } of sources) budget.earn(upstream)
  for (let rounds = 1; ; rounds += 1) {
    const tried = await goThrough({ ...job, sources, isWaitedFor: false }, events, asking)
    if (tried.kind === 'ended') return tried.outcome
    waiting = [...waiting, ...tried.again].filter(({ source }) => file.mayAsk(source))
    if (job.isTriedOnce === true) return noNar
    const next = nextRound(waiting, rounds, deps.timing.random)
    sources = next?.sources.filter(({ upstream }) => budget.spend(upstream)) ?? []
    waiting = next?.later ?? []
    if (next === null || sources.length + waiting.length === 0) break
    await deps.timing.pause(next.pauseMs, signal)
  }
  if (job.mayWait === false) return noNar
  const tryAgain = async (sources: readonly NarSource[]): Promise<IngestOutcome | null> => {
    const tried = await goThrough({ sources, isWaitedFor: true }, events, asking)
    return tried.kind === 'ended' ? tried.outcome : null
  }
  return (await waitOut(deps, refused, tryAgain, signal)) ?? noNar
}

const noNar: IngestOutcome = { kind: 'failed' }

type Tried =
  | { readonly kind: 'ended'; readonly outcome: IngestOutcome }
  | { readonly kind: 'failed'; readonly again: readonly Waiting<NarSource>[] }

type Round = Pick<IngestJob, 'sources' | 'isTriedOnce'> & Pick<Turn, 'isWaitedFor'>

type Asking = {
  readonly file: IngestedFile
  readonly refused: RefusedSources
  readonly outages: Outages
  readonly signal: AbortSignal
}

/** Tries the sources, one after another; `again` are those that may be asked once more. */
async function goThrough(
  { sources, isTriedOnce = false, isWaitedFor }: Round,
  events: IngestEvents,
  { file, signal, ...noting }: Asking,
): Promise<Tried> {
  const again: Waiting<NarSource>[] = []
  const left = [...sources]
  const renewed = new Set<NarSource>()
  for (let source = left.shift(); source !== undefined; source = left.shift()) {
    signal.throwIfAborted()
    if (!file.mayAsk(source)) continue
    const others = left.filter((one) => !renewed.has(one) && file.mayAsk(one))
    const hasOthers = isTriedOnce || others.length > 0
    const failed = await file.tryOne(source, signal, { hasOthers, isWaitedFor })
    noteRefusal(noting, source, failed)
    if (failed === null) return { kind: 'ended', outcome: file.outcome(source.upstream) }
    const { failure, retryAfterMs, isRenewed, isRefused } = failed
    const canGoOn = file.canGoOn(failure)
    const isAskedAnew = isRenewed && canGoOn && (!isTriedOnce || others.length > 0)
    // Where it was left for those who joined it has not failed; that its host refuses was told when it did so first.
    const isLeft = isAskedAnew && failure.code === 'too-slow' && !file.isBegun
    if (!isLeft && !(isWaitedFor && isRefused)) events.sourceFailed(failure)
    if (!canGoOn) return { kind: 'ended', outcome: noNar }
    if (isAskedAnew) {
      renewed.add(source)
      left.push(source)
    } else if (retryAfterMs !== null) again.push({ source, afterMs: retryAfterMs })
  }
  return { kind: 'failed', again }
}

/** Whether a source's host refuses, and until when that may pass: from its first refusal of this NAR on. */
function noteRefusal(
  { refused, outages }: Pick<Asking, 'refused' | 'outages'>,
  source: NarSource,
  failed: FailedTry | null,
): void {
  if (failed?.isRefused === true) {
    const untilMs = outages.refused(source.upstream)
    refused.set(source, refused.get(source) ?? untilMs)
    return
  }
  refused.delete(source)
  // A stored file is nobody's answer.
  if (source.file === null) outages.ended(source.upstream)
}

function openSink(
  { path, verifyFirst }: IngestJob,
  events: IngestEvents,
  signal: AbortSignal,
): NarSink {
  if (path !== null) return new PartialFile(path)
  const windowBytes = verifyFirst ? Infinity : streamWindowBytes
  return new StreamSink({ events, windowBytes, signal })
}
