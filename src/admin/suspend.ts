import type { StorePathHash } from '../nix/store-path.ts'
import type { Lie } from '../policy/names.ts'
import type { Clock } from '../ports/clock.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { Suspensions } from '../state/suspensions.ts'
import type { LivePolicy } from './live-policy.ts'

export type SuspendDeps = {
  readonly policy: LivePolicy
  readonly suspensions: Suspensions
  readonly evidence: Evidence
  readonly clock: Clock
  readonly log: Log
  readonly meter: Meter
}

/** Takes an upstream out of use until it is resumed: from this moment nothing that it says counts. False where it was already. */
export async function suspendUpstream(
  deps: SuspendDeps,
  upstream: string,
  why: string,
): Promise<boolean> {
  const suspended = deps.suspensions.suspend(upstream, why, deps.clock.nowMs())
  deps.policy.refresh()
  const isNew = await suspended
  if (isNew) {
    deps.log.error({ event: 'upstream.suspended', upstream, why })
    deps.evidence.happened({ kind: 'upstream-suspended', hash: null, upstream, detail: why })
  }
  return isNew
}

/** Believes an upstream again, at the latest once that is durable. False where it was not suspended. */
export async function resumeUpstream(deps: SuspendDeps, upstream: string): Promise<boolean> {
  const isNew = await deps.suspensions.resume(upstream).finally(() => {
    // Where it could not be made durable it is suspended again.
    deps.policy.refresh()
  })
  if (isNew) {
    deps.log.warn({ event: 'upstream.resumed', upstream })
    const detail = 'resumed by an operator'
    deps.evidence.happened({ kind: 'upstream-resumed', hash: null, upstream, detail })
  }
  return isNew
}

/** What follows from a lie about a name: it is recorded, and its upstream suspended; where the policy only reports, recorded. */
export function punishLie(deps: SuspendDeps, hash: StorePathHash, lie: Lie): void {
  const { upstream, claimed, truth, by } = lie
  const detail = `${upstream} signed the name ${claimed} for ${hash}, and ${by} says ${truth}`
  deps.meter.nameLied(upstream)
  deps.log.error({ event: 'name.lied', hash, upstream, claimed, truth, by })
  deps.evidence.happened({ kind: 'lying-name', hash, upstream, detail })
  if (!deps.policy.current().enforce || !lie.isPunished) return
  suspendUpstream(deps, upstream, detail).catch((error: unknown) => {
    deps.log.error({ event: 'suspension.failed', upstream, err: error })
  })
}
