import type { Block } from '../policy/block.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import { describeBlocked } from './describe-blocked.ts'
import type { LivePolicy } from './live-policy.ts'

export type LiftDeps = {
  readonly policy: LivePolicy
  readonly recalls: { lift(block: Block): Promise<boolean> }
  readonly evidence: Pick<Evidence, 'happened'>
  readonly log: Log
}

/** Takes a recall back; false where there was none. What it removed from the store is fetched again when somebody asks. */
export async function lift(deps: LiftDeps, block: Block): Promise<boolean> {
  const isLifted = await deps.recalls.lift(block).finally(() => {
    // Where it could not be made durable it is recalled still.
    deps.policy.refresh()
  })
  if (!isLifted) return false
  const detail = describeBlocked(block.blocked)
  deps.log.warn({ event: 'recall.lifted', recalled: detail })
  deps.evidence.happened({ kind: 'recall-lifted', hash: null, upstream: null, detail })
  return true
}
