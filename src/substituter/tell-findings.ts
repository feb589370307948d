import { formatHash } from '../nix/hash.ts'
import type { StorePathHash } from '../nix/store-path.ts'
import type { Lie } from '../policy/names.ts'
import { wantsAgreement } from '../policy/rule.ts'
import type { Evidence } from '../ports/evidence.ts'
import type { Log } from '../ports/log.ts'
import type { Meter } from '../ports/meter.ts'
import type { Inquiry } from './inquiry.ts'

export type FindingDeps = {
  readonly meter: Meter
  readonly log: Log
  readonly evidence: Pick<Evidence, 'happened'>
  /** An upstream signed a name that a better one contradicts. */
  readonly lied: (hash: StorePathHash, lie: Lie) => void
}

/** What an inquiry brought to light, once all have answered: divergences and lies. */
export function tellFindings(deps: FindingDeps, hash: StorePathHash, inquiry: Inquiry): void {
  const { enforced } = inquiry.views
  if (enforced.isDivergent) {
    const said = trustedClaims(inquiry)
    deps.meter.diverged(divergenceOf(inquiry))
    deps.log.warn({ event: 'claims.diverged', hash, claims: said })
    const detail = said.join('; ')
    deps.evidence.happened({ kind: 'divergence', hash, upstream: null, detail })
  }
  for (const lie of enforced.lies) deps.lied(hash, lie)
}

/** The rule of the path, and whether it asks for agreement. */
function divergenceOf({ views: { enforced } }: Inquiry): Parameters<Meter['diverged']>[0] {
  const [rule] = enforced.slots.flatMap(({ answer }) =>
    answer?.kind === 'trusted' || answer?.kind === 'refused' ? (answer.verdict.rule ?? []) : [],
  )
  return { rule: rule?.name ?? null, wantsAgreement: rule !== undefined && wantsAgreement(rule) }
}

/** What each upstream's signed word was, before other claims made it worthless. */
function trustedClaims({ views: { enforced } }: Inquiry): readonly string[] {
  const claims = enforced.slots.flatMap(({ upstream, answer }) => {
    const isSaid =
      answer?.kind === 'trusted' ||
      (answer?.kind === 'refused' && ['no-agreement', 'divergence'].includes(answer.verdict.reason))
    return isSaid ? [{ upstream, narinfo: answer.claim.narinfo }] : []
  })
  return claims.map(
    ({ upstream, narinfo }) =>
      `${upstream} says ${narinfo.storePath.baseName} is ${formatHash(narinfo.narHash)}, ${narinfo.narSize} bytes`,
  )
}
