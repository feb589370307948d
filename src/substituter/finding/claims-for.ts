import { isSameNar, type NarKey } from '../../nix/nar-key.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Inquiry } from './inquiry.ts'
import { narKeyOf } from './render-narinfo.ts'

/** Whose answers a NAR is trusted under. */
export type TrustedAnswers = Pick<Inquiry, 'trusted'>

/** The trusted claims for a NAR, in order of preference, that promise what the first of them promises, NarSize included. */
export function claimsFor(answers: TrustedAnswers, key: NarKey): readonly TrustedAnswer[] {
  const offered = answers
    .trusted()
    .filter(({ verdict }) => isSameNar(narKeyOf(verdict.narinfo), key))
  const narSize = offered[0]?.verdict.narinfo.narSize
  return offered.filter(({ verdict }) => verdict.narinfo.narSize === narSize)
}
