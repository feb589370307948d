import type { NarKey } from '../../nix/nar-key.ts'
import { claimsFor } from './claims-for.ts'
import type { PathFinder } from './find-path.ts'
import type { Inquiry } from './inquiry.ts'

/**
 * The question asked anew, where an upstream that could not tell before promises the NAR now; `null` where none does. A question that is
 * remembered knows only what was said then: whoever promised the NAR may be down by now, and who could not tell may be up.
 */
export async function askAnew(
  finder: Pick<PathFinder, 'known' | 'forget' | 'inquire'>,
  key: NarKey,
  earlier: Inquiry,
  client: string,
): Promise<Inquiry | null> {
  const hash = key.storePathHash
  if (!earlier.slots.some(({ answer }) => answer?.kind === 'unknown')) return null
  if (finder.known(hash) === earlier) finder.forget(hash)
  const anew = finder.inquire(hash, client)
  await anew.chosen
  await anew.everybody()
  const promised = claimsFor(earlier, key).map(({ claim }) => claim.upstream)
  const isPromised = claimsFor(anew, key).some(({ claim }) => !promised.includes(claim.upstream))
  return isPromised ? anew : null
}
