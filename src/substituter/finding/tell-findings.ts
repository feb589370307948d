import { formatHash } from '../../nix/hash.ts'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { Lie } from '../../policy/names.ts'
import { wantsAgreement } from '../../policy/rule.ts'
import type { Evidence } from '../../ports/evidence.ts'
import type { Log } from '../../ports/log.ts'
import type { Meter } from '../../ports/meter.ts'
import type { Inquiry } from './inquiry.ts'

export type FindingDeps = {
  readonly meter: Meter
  readonly log: Log
  readonly evidence: Pick<Evidence, 'happened'>
  /** An upstream signed a name that a better one contradicts. */
  readonly lied: (hash: StorePathHash, lie: Lie) => void
}

/**
 * What an inquiry brought to light, once all have answered: divergences and lies. `told` is what was told of it before, since others may have
 * been asked later.
 */
export function tellFindings(
  deps: FindingDeps,
  hash: StorePathHash,
  inquiry: Inquiry,
  told: Set<string>,
): void {
  const { enforced } = inquiry.views
  const isNew = (finding: string): boolean => {
    const before = told.size
    return told.add(finding).size > before
  }
  const claims = trustedClaims(inquiry)
  if (enforced.isDivergent && claims.map(({ content }) => content).filter(isNew).length > 0) {
    const said = claims.map(({ upstream, content }) => `${upstream} says ${content}`)
    deps.meter.diverged(divergenceOf(inquiry))
    deps.log.warn({ event: 'claims.diverged', hash, claims: said })
    const detail = said.join('; ')
    deps.evidence.happened({ kind: 'divergence', hash, upstream: null, detail })
  }
  for (const lie of enforced.lies) {
    if (isNew(`${lie.upstream} lies: ${lie.claimed}`)) deps.lied(hash, lie)
  }
}

/** The rule of the path, and whether it asks for agreement. */
function divergenceOf({ views: { enforced } }: Inquiry): Parameters<Meter['diverged']>[0] {
  const [rule] = enforced.slots.flatMap(({ answer }) =>
    answer?.kind === 'trusted' || answer?.kind === 'refused' ? (answer.verdict.rule ?? []) : [],
  )
  return { rule: rule?.name ?? null, wantsAgreement: rule !== undefined && wantsAgreement(rule) }
}

type SaidClaim = { readonly upstream: string; readonly content: string }

/** What each upstream's signed word was, before other claims made it worthless. */
function trustedClaims({ views: { enforced } }: Inquiry): readonly SaidClaim[] {
  const claims = enforced.slots.flatMap(({ upstream, answer }) => {
    const isSaid =
      answer?.kind === 'trusted' ||
      (answer?.kind === 'refused' && ['no-agreement', 'divergence'].includes(answer.verdict.reason))
    return isSaid ? [{ upstream, narinfo: answer.claim.narinfo }] : []
  })
  return claims.map(({ upstream, narinfo: { storePath, narHash, narSize } }) => ({
    upstream,
    content: `${storePath.baseName} is ${formatHash(narHash)}, ${narSize} bytes`,
  }))
}
