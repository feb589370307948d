import { LRUCache } from 'lru-cache'
import { narFileName } from '../nix/nar-key.ts'
import type { Claim } from '../policy/claim.ts'
import type { Clock } from '../ports/clock.ts'
import { narKeyOf } from './render-narinfo.ts'

/**
 * Claims that only their content address vouched for, and whose NAR was not the one that they promise. Anybody can make such a claim:
 * it must not keep the path from those whose claim is right.
 */
export type RefutedClaims = {
  readonly note: (claim: Claim) => void
  readonly has: (claim: Claim) => boolean
}

const refutedMs = 60 * 60_000
const maxClaims = 10_000

export function createRefutedClaims(clock: Clock): RefutedClaims {
  const refuted = new LRUCache<string, number>({ max: maxClaims })
  const idOf = ({ upstream, narinfo }: Claim): string =>
    `${upstream} ${narFileName(narKeyOf(narinfo))} ${narinfo.narSize}`
  return {
    note(claim) {
      refuted.set(idOf(claim), clock.nowMs())
    },
    has(claim) {
      const at = refuted.get(idOf(claim))
      return at !== undefined && clock.nowMs() - at < refutedMs
    },
  }
}
