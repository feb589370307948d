import { formatStorePath, type StorePathHash } from '../nix/store-path.ts'
import type { Answer } from '../policy/choose.ts'
import { readClaim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import { judge } from '../policy/verdict.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import { type Upstream, UpstreamError } from '../ports/upstream.ts'
import { Inquiry } from './inquiry.ts'

export type AskDeps = {
  readonly policy: Policy
  /** Those of the policy, in its order. */
  readonly upstreams: readonly Upstream[]
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
  /** How long an upstream may take for a narinfo. */
  readonly narinfoTimeoutMs: number
  /** Aborted when Weir stops. */
  readonly stopping: AbortSignal
}

/** Asks every upstream for a hash, side by side, and judges what each says. */
export function askUpstreams(deps: AskDeps, hash: StorePathHash): Inquiry {
  const optionals = new Map(deps.policy.upstreams.map(({ name, optional }) => [name, optional]))
  return new Inquiry(
    deps.upstreams.map((upstream) => ({
      upstream: upstream.name,
      optional: optionals.get(upstream.name) ?? false,
      answer: askOne(deps, upstream, hash),
    })),
  )
}

async function askOne(deps: AskDeps, upstream: Upstream, hash: StorePathHash): Promise<Answer> {
  const startedMs = deps.clock.nowMs()
  const measure = (result: 'found' | 'absent' | 'error'): void => {
    const seconds = (deps.clock.nowMs() - startedMs) / 1000
    deps.meter.upstreamAnswered({ upstream: upstream.name, object: 'narinfo', result, seconds })
  }
  try {
    const deadline = AbortSignal.timeout(deps.narinfoTimeoutMs)
    const text = await upstream.narinfo(hash, AbortSignal.any([deadline, deps.stopping]))
    measure(text === null ? 'absent' : 'found')
    return text === null ? { kind: 'absent' } : judgeText(deps, upstream.name, hash, text)
  } catch (error) {
    measure('error')
    return unknown(deps, upstream.name, hash, error)
  }
}

function unknown(deps: AskDeps, upstream: string, hash: StorePathHash, error: unknown): Answer {
  const code = error instanceof UpstreamError ? error.code : 'internal'
  const reason = error instanceof Error ? error.message : String(error)
  if (deps.stopping.aborted)
    return { kind: 'unknown', code: 'stopping', reason: 'Weir is stopping' }
  deps.log.warn({ event: 'upstream.failed', upstream, object: 'narinfo', hash, code, reason })
  if (code === 'internal') deps.log.error({ event: 'internal.error', err: error })
  return { kind: 'unknown', code, reason }
}

function judgeText(deps: AskDeps, upstream: string, hash: StorePathHash, text: Uint8Array): Answer {
  const reading = readClaim(deps.policy, upstream, hash, text)
  if (reading.kind === 'malformed') {
    const { reason } = reading
    deps.meter.claimJudged(upstream, 'malformed')
    deps.log.warn({ event: 'claim.malformed', upstream, hash, reason })
    return { kind: 'unknown', code: 'malformed', reason }
  }
  const { claim } = reading
  const verdict = judge(deps.policy, claim)
  const path = formatStorePath(claim.narinfo.storePath, deps.policy.storeDir)
  for (const { keyName, result } of verdict.evidence) {
    if (result === 'bad-signature')
      deps.log.warn({ event: 'signature.bad', upstream, path, keyName })
  }
  if (verdict.kind === 'refused') {
    deps.meter.claimJudged(upstream, verdict.reason)
    deps.log.warn({ event: 'claim.refused', upstream, path, reason: verdict.reason })
    return { kind: 'refused', claim, verdict }
  }
  deps.meter.claimJudged(upstream, 'trusted')
  deps.log.info({ event: 'claim.trusted', upstream, path, voucher: verdict.voucher })
  return { kind: 'trusted', claim, verdict }
}
