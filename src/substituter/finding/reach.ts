import { isSameNar, type NarKey } from '../../nix/nar-key.ts'
import type { TrustedAnswers } from './claims-for.ts'
import { narKeyOf } from './render-narinfo.ts'

/** Who can be asked at the moment. */
export type Reach = {
  /** Whether the configuration says that nobody is asked. */
  readonly isOffline: () => boolean
  /** Whether an upstream has failed so often that it is not asked just now. */
  readonly isDown: (upstream: string) => boolean
  /** Whether an upstream is one that NARs can be fetched from at all. */
  readonly isRemote: (upstream: string) => boolean
}

/** Whether a NAR that is not stored can be had now: somebody who promises it can be asked for it. */
export function canBeFetched(reach: Reach, answers: TrustedAnswers, key: NarKey): boolean {
  if (reach.isOffline()) return false
  return answers
    .trusted()
    .filter(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key))
    .some(({ claim: { upstream } }) => reach.isRemote(upstream) && !reach.isDown(upstream))
}

/** Whether all who answered are down by now: what they promised cannot be had from them, and who asks anew finds out when they are back. */
export function isOutOfReach(reach: Reach, answers: TrustedAnswers): boolean {
  const trusted = answers.trusted()
  return trusted.length > 0 && trusted.every(({ claim }) => reach.isDown(claim.upstream))
}
