import type { StorePath } from '../nix/store-path.ts'
import { candidates } from '../policy/ask-order.ts'
import { blockOfName } from '../policy/block.ts'
import type { Claim } from '../policy/claim.ts'
import type { Policy } from '../policy/policy.ts'
import { maySpeakFor } from '../policy/verdict.ts'
import type { PathFinder } from '../substituter/finding/find-path.ts'
import type { Explanation } from './explanation.ts'

type Deps = { readonly policy: () => Policy; readonly finder: PathFinder }

const maxLiveReferences = 200

/** The references of a claim that would be refused, as far as is known; `live` asks the upstreams, for the first 200. */
export async function refusedReferences(
  deps: Deps,
  { narinfo }: Claim,
  live: boolean,
): Promise<Explanation['refusedReferences']> {
  const others = narinfo.references.filter(({ hash }) => hash !== narinfo.storePath.hash)
  const asked = live ? others.slice(0, maxLiveReferences) : others
  const findings = await Promise.all(
    asked.map(async (reference) => {
      const reason = await refusalOf(deps, reference, live)
      return reason === null ? [] : [{ path: reference.baseName, reason }]
    }),
  )
  return findings.flat()
}

async function refusalOf(
  { policy, finder }: Deps,
  { hash, name }: StorePath,
  live: boolean,
): Promise<string | null> {
  const now = policy()
  const block = blockOfName(now.blocks, name)
  if (block !== null) return `blocked: ${block.reason}`
  if (!candidates(now).some((upstream) => maySpeakFor(now, upstream.name, name))) {
    return 'no upstream may vouch for it'
  }
  const inquiry = live ? finder.inquire(hash) : finder.known(hash)
  if (inquiry === null) return null
  await inquiry.chosen
  const refused = inquiry.slots.flatMap(({ upstream, answer }) =>
    answer?.kind === 'refused' ? [`${upstream}: ${answer.verdict.reason}`] : [],
  )
  return inquiry.trusted().length === 0 && refused.length > 0 ? refused.join('; ') : null
}
