import type { NarKey } from '../nix/nar-key.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import { areEqual } from '../policy/equal-claims.ts'
import type { StoredNar } from '../ports/catalog.ts'

/** A file that was verified. */
export type VerifiedNar = Pick<StoredNar, 'fileBytes' | 'fileHash' | 'etag'>

/**
 * The record of a NAR that was held against a trusted claim. The trusted claims of others that say the same are kept with it: a rule
 * may want several, today or after a change.
 */
export function storedRecord(
  key: NarKey,
  answer: TrustedAnswer,
  {
    trusted,
    isCertain,
  }: { readonly trusted: readonly TrustedAnswer[]; readonly isCertain: boolean },
  { fileBytes, fileHash, etag }: VerifiedNar,
  nowMs: number,
): StoredNar {
  const stored = ({ claim }: TrustedAnswer) => ({ upstream: claim.upstream, claim: claim.text })
  const witnesses = trusted.filter(
    (other) => other.claim !== answer.claim && areEqual([answer, other]),
  )
  return {
    ...stored(answer),
    key,
    witnesses: witnesses.map(stored),
    isCertain,
    ...{ fileBytes, fileHash, etag },
    ...{ storedAtMs: nowMs, usedAtMs: nowMs },
  }
}
