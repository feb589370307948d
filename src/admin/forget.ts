import type { StorePathHash } from '../nix/store-path.ts'
import type { Log } from '../ports/log.ts'
import type { PathFinder } from '../substituter/finding/find-path.ts'
import type { RefutedClaims } from '../substituter/finding/refuted-claims.ts'
import type { Substituter } from '../substituter/substituter.ts'
import type { Transfers } from '../substituter/fetching/transfers.ts'

/** What was known of a path, and is forgotten. */
export type ForgetReport = {
  /** The upstreams that were not asked for it, since they did not have it a moment ago. */
  readonly absentAt: readonly string[]
  /** Whether what upstreams said of it was remembered. */
  readonly isRemembered: boolean
  /** Whether one of them was distrusted for a wrong NAR of it. */
  readonly isDistrusted: boolean
}

export type ForgetDeps = {
  readonly finder: Pick<PathFinder, 'forget'>
  readonly substituter: Pick<Substituter, 'changed'>
  readonly refutedClaims: Pick<RefutedClaims, 'forget'>
  readonly transfers: Pick<Transfers, 'forget'>
  readonly log: Log
}

/** Forgets what upstreams said of a path: the next request for it asks them anew. What is stored stays. */
export function forget(deps: ForgetDeps, hash: StorePathHash): ForgetReport {
  const isRefuted = deps.refutedClaims.forget(hash)
  const isSuspected = deps.transfers.forget(hash)
  const known = deps.finder.forget(hash)
  deps.substituter.changed(hash)
  const report = { ...known, isDistrusted: isRefuted || isSuspected }
  deps.log.info({ event: 'path.forgotten', hash, ...report })
  return report
}
