import { formatStorePath, type StorePathHash } from '../../nix/store-path.ts'
import { type Claim, readClaim } from '../../policy/claim.ts'
import { isLastHope } from '../../policy/last-hope.ts'
import type { Policy } from '../../policy/policy.ts'
import { offlineCode } from '../../policy/answer.ts'
import type { JudgedSlot, Reply } from '../../policy/views.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Evidence } from '../../ports/evidence.ts'
import type { Hedging } from '../../ports/hedging.ts'
import type { Log } from '../../ports/log.ts'
import type { Meter } from '../../ports/meter.ts'
import type { Tracer } from '../../ports/tracer.ts'
import { type Asking, type Upstream, UpstreamError } from '../../ports/upstream.ts'
import type { UpstreamHealth } from '../../ports/upstream-health.ts'
import type { Absences } from './absences.ts'
import { Inquiry, type InquiryOptions } from './inquiry.ts'
import type { Reach } from './reach.ts'

export type AskDeps = {
  /** The policy of now. */
  readonly policy: () => Policy
  /** The upstreams of now: those of the policy. */
  readonly upstreams: () => readonly Upstream[]
  readonly health: Pick<UpstreamHealth, 'isDown'>
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  readonly evidence: Evidence
  readonly tracer: Tracer
  /** What upstreams did not have a moment ago: they are not asked for it again so soon. */
  readonly absences: Absences
  readonly reach: Reach
  readonly hedging: Hedging
  /** Whether a claim's NAR turned out not to have the content address that is all that vouches for it. */
  readonly isRefuted: (claim: Claim) => boolean
  /** Aborted when Weir stops. */
  readonly stopping: AbortSignal
}

/** Who asks where no client does: Weir itself. */
export const weirItself = 'weir'

/** What is asked. */
export type Question = Pick<InquiryOptions, 'expected' | 'settledAgain'> & {
  readonly hash: StorePathHash
  /** On whose behalf. */
  readonly client: string
}

/** Asks the upstreams for a hash, as the policy wants them asked, and judges what each says. */
export function askUpstreams(
  deps: AskDeps,
  { hash, expected, settledAgain, client }: Question,
): Inquiry {
  const policy = deps.policy()
  const upstreams = deps.upstreams()
  return new Inquiry({
    policy: deps.policy,
    ...{ expected, settledAgain },
    isSlow(upstream, signal) {
      deps.hedging.asked()
      return deps.hedging.isSlow(upstream, signal)
    },
    ask: (name, slots) => {
      const upstream = upstreams.find((each) => each.name === name)
      // But for offline, the policy has no upstream that is not there; should it, nothing is known of what that one has.
      if (upstream === undefined) {
        return Promise.resolve(deps.reach.isOffline() ? offline : noSuchUpstream)
      }
      if (deps.absences.has(name, hash)) {
        deps.meter.absenceRemembered(name)
        return Promise.resolve({ kind: 'absent' })
      }
      const asking = { client, isLastHope: isLastHope(policy, slots, name, deps.health.isDown) }
      return inSpan(deps, name, hash, () => askOne(deps, policy, upstream, hash, asking))
    },
    judged: (slot) => {
      tell(deps, policy, hash, slot)
    },
  })
}

const noSuchUpstream: Reply = { kind: 'unknown', code: 'internal', reason: 'no such upstream' }
const offline: Reply = {
  ...{ kind: 'unknown', code: offlineCode },
  reason: 'Weir is offline, and asks nobody',
}

function inSpan(
  { tracer }: AskDeps,
  upstream: string,
  hash: StorePathHash,
  ask: () => Promise<Reply>,
): Promise<Reply> {
  const attributes = { 'weir.upstream': upstream, 'weir.hash': hash }
  return tracer.span({ name: 'ask upstream', kind: 'client', attributes }, async (span) => {
    const reply = await ask()
    span.set({ 'weir.answer': reply.kind })
    if (reply.kind === 'unknown') span.failed(`${reply.code}: ${reply.reason}`)
    return reply
  })
}

async function askOne(
  deps: AskDeps,
  policy: Policy,
  upstream: Upstream,
  hash: StorePathHash,
  asking: Asking,
): Promise<Reply> {
  const startedMs = deps.clock.nowMs()
  const measure = (result: 'found' | 'absent' | 'error'): void => {
    // The store's own narinfos are no upstream's answers.
    if (!deps.reach.isRemote(upstream.name)) return
    const seconds = (deps.clock.nowMs() - startedMs) / 1000
    deps.meter.upstreamAnswered({ upstream: upstream.name, object: 'narinfo', result, seconds })
  }
  const absent = deps.absences.asking(upstream.name, hash)
  try {
    const text = await upstream.narinfo(hash, deps.stopping, asking)
    deps.hedging.took(upstream.name, deps.clock.nowMs() - startedMs)
    measure(text === null ? 'absent' : 'found')
    if (text !== null) return readReply(deps, policy, upstream.name, hash, text)
    absent()
    return { kind: 'absent' }
  } catch (error) {
    measure('error')
    return unknown(deps, upstream.name, hash, error)
  }
}

function unknown(deps: AskDeps, upstream: string, hash: StorePathHash, error: unknown): Reply {
  const code = error instanceof UpstreamError ? error.code : 'internal'
  const reason = error instanceof Error ? error.message : String(error)
  if (deps.stopping.aborted)
    return { kind: 'unknown', code: 'stopping', reason: 'Weir is stopping' }
  // That an upstream is known to be down was said when it went down.
  if (code !== 'breaker-open') {
    deps.log.warn({ event: 'upstream.failed', upstream, object: 'narinfo', hash, code, reason })
  }
  if (code === 'internal') deps.log.error({ event: 'internal.error', err: error })
  return { kind: 'unknown', code, reason }
}

/** The first step of the verdict: what is malformed is unknown, not absent. */
function readReply(
  deps: AskDeps,
  policy: Policy,
  upstream: string,
  hash: StorePathHash,
  text: Uint8Array,
): Reply {
  const reading = readClaim(policy, upstream, hash, text)
  if (reading.kind === 'claim') return { ...reading, isRefuted: deps.isRefuted(reading.claim) }
  const { reason } = reading
  deps.meter.claimJudged(upstream, 'malformed')
  deps.log.warn({ event: 'claim.malformed', upstream, hash, reason })
  return { kind: 'unknown', code: 'malformed', reason }
}

/** Tells log and metrics of a claim that was judged, by the policy as it is enforced. */
function tell(deps: AskDeps, policy: Policy, hash: StorePathHash, slot: JudgedSlot): void {
  const { upstream, enforced: answer } = slot
  if (answer?.kind !== 'trusted' && answer?.kind !== 'refused') return
  const path = formatStorePath(answer.claim.narinfo.storePath, policy.storeDir)
  for (const { keyName, result } of answer.verdict.evidence) {
    if (result !== 'bad-signature') continue
    deps.meter.badSignature(upstream)
    deps.log.warn({ event: 'signature.bad', upstream, path, keyName })
    const detail = `${path}: the signature under ${keyName} is wrong`
    deps.evidence.happened({ kind: 'bad-signature', hash, upstream, detail })
  }
  const rule = answer.verdict.rule?.name ?? null
  if (answer.kind === 'refused') {
    deps.meter.claimJudged(upstream, answer.verdict.reason)
    deps.log.warn({ event: 'claim.refused', upstream, path, rule, reason: answer.verdict.reason })
  } else {
    deps.meter.claimJudged(upstream, 'trusted')
    deps.log.info({ event: 'claim.trusted', upstream, path, rule, voucher: answer.verdict.voucher })
  }
}
