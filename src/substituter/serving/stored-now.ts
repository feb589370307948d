import type { TrustedAnswer } from '../../policy/answer.ts'
import type { Policy } from '../../policy/policy.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import type { NoClaim } from './answers.ts'
import type { PathFinder } from '../finding/find-path.ts'
import { noClaim, trustedFor } from './nar-answers.ts'
import { judgeStored } from '../finding/stored-answers.ts'
import { isContradicted } from './stored-nar.ts'
import { wasHeldAgainst } from '../finding/stored-record.ts'

/** A NAR that is stored, and the claim by which the policy trusts it now. */
export type StoredNow = { readonly stored: StoredNar; readonly answer: TrustedAnswer }

/**
 * The stored NAR of a path that would be handed out now, the chosen one where there are several. Where it is not trusted by what is
 * recorded of it, its upstreams are asked, as for the NAR itself: a refusal is told in their words. `null` where none is stored.
 */
export async function findStoredNow(
  deps: { readonly policy: () => Policy; readonly finder: PathFinder },
  hash: StorePathHash,
): Promise<StoredNow | NoClaim | null> {
  const records = await deps.finder.records(hash)
  if (records.length === 0) return null
  const [found] = judgeStored(deps.policy(), records, deps.finder.names.expected(hash))
  if (found !== undefined && !isContradicted(deps, found)) return found
  const inquiry = deps.finder.inquire(hash)
  for (const stored of records) {
    const answer = await trustedFor(inquiry, stored.key)
    // The path of a content address is proved by the NAR alone, and this one may be another's.
    if (answer !== null && wasHeldAgainst(answer, stored.verifiedCa)) return { stored, answer }
  }
  return inquiry.trusted().length === 0 ? noClaim(inquiry) : null
}
