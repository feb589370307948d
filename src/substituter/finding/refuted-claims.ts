import { LRUCache } from 'lru-cache'
import { narName } from '../../nix/nar-key.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Claim } from '../../policy/claim.ts'
import type { Clock } from '../../ports/clock.ts'
import { narKeyOf } from './render-narinfo.ts'

/**
 * Claims that only their content address vouched for, and whose NAR was not the one that they promise. Anybody can make such a claim:
 * it must not keep the path from those whose claim is right.
 */
export type RefutedClaims = {
  readonly note: (claim: Claim) => void
  readonly has: (claim: Claim) => boolean
  /** Lets the claims for a path be believed again, until their NAR is looked at; whether there were any. */
  readonly forget: (hash: StorePathHash) => boolean
}

/** So many different claims of one upstream for one path are believed, at most, before none is. */
const maxRefutations = 2
const refutedMs = 60 * 60_000
const maxClaims = 10_000

export function createRefutedClaims(clock: Clock): RefutedClaims {
  const refuted = new LRUCache<string, number>({ max: maxClaims })
  const times = new LRUCache<string, readonly number[]>({ max: maxClaims })
  const pathOf = ({ upstream, narinfo }: Claim): string => `${upstream} ${narinfo.storePath.hash}`
  const recent = (claim: Claim): readonly number[] =>
    (times.get(pathOf(claim)) ?? []).filter((at) => clock.nowMs() - at < refutedMs)
  const idOf = ({ upstream, narinfo }: Claim): string =>
    `${upstream} ${narName(narKeyOf(narinfo))} ${narinfo.narSize}`
  return {
    note(claim) {
      refuted.set(idOf(claim), clock.nowMs())
      times.set(pathOf(claim), [...recent(claim), clock.nowMs()].slice(-maxRefutations))
    },
    has(claim) {
      const at = refuted.get(idOf(claim))
      if (at !== undefined && clock.nowMs() - at < refutedMs) return true
      return recent(claim).length >= maxRefutations
    },
    forget(hash) {
      const ids = [...refuted.keys()].filter((id) => id.includes(` ${hash}-`))
      for (const id of ids) refuted.delete(id)
      for (const path of times.keys()) if (path.endsWith(` ${hash}`)) times.delete(path)
      return ids.length > 0
    },
  }
}
