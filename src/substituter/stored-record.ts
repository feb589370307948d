import { formatContentAddress } from '../nix/content-address.ts'
import type { NarKey } from '../nix/nar-key.ts'
import type { TrustedAnswer } from '../policy/answer.ts'
import { areEqual } from '../policy/equal-claims.ts'
import type { Policy } from '../policy/policy.ts'
import type { StoredClaim, StoredNar } from '../ports/catalog.ts'
import type { Inquiry } from './inquiry.ts'

/** A file that was verified, and the content address that it was held against. */
export type VerifiedNar = Pick<StoredNar, 'fileBytes' | 'fileHash' | 'etag' | 'verifiedCa'>

/**
 * The record of a verified NAR under a trusted answer. The trusted claims of others that say the same are kept with it: a rule may want
 * several, today or after a change. None is kept that promises a content address which the file was not held against.
 */
export function storedRecord(
  key: NarKey,
  answer: TrustedAnswer,
  inquiry: Pick<Inquiry, 'trusted' | 'views'>,
  { fileBytes, fileHash, etag, verifiedCa }: VerifiedNar,
  { policy, nowMs }: { readonly policy: Policy; readonly nowMs: number },
): StoredNar {
  const witnesses = inquiry
    .trusted()
    .filter((other) => other.claim !== answer.claim && areEqual([answer, other]))
    .filter((other) => wasHeldAgainst(other, verifiedCa))
  return {
    ...storedClaim(answer),
    key,
    witnesses: witnesses.map(storedClaim),
    certainIn: inquiry.views.serving.isCertain ? policy.choiceEpoch : null,
    ...{ fileBytes, fileHash, etag, verifiedCa },
    ...{ storedAtMs: nowMs, usedAtMs: nowMs },
  }
}

/** The content address that an answer promises, as in a narinfo's CA. */
export function promisedCa({ verdict }: TrustedAnswer): string | null {
  const { ca } = verdict.narinfo
  return ca === null ? null : formatContentAddress(ca)
}

/** Whether a file that was held against `verifiedCa` keeps all that an answer promises of its content. */
export function wasHeldAgainst(answer: TrustedAnswer, verifiedCa: string | null): boolean {
  const promised = promisedCa(answer)
  return promised === null || promised === verifiedCa
}

function storedClaim({ claim }: TrustedAnswer): StoredClaim {
  return { upstream: claim.upstream, claim: claim.text }
}
