import type { Policy, PolicyUpstream } from './policy.ts'

/** Upstreams that are asked at the same time, once nobody before them had a trusted claim. */
export type Phase = { readonly upstreams: readonly string[]; readonly isPrivate: boolean }

/** Upstreams that some rule could allow, and that are not suspended: only their word is asked for. */
export function candidates(policy: Policy): readonly PolicyUpstream[] {
  const isOpen = policy.unmatched === 'allow' || policy.rules.some(({ from }) => from === null)
  return policy.upstreams.filter(({ name }) => {
    if (policy.suspended.has(name)) return false
    return isOpen || policy.rules.some(({ from }) => from?.includes(name) === true)
  })
}

/** The order in which upstreams are asked: tier by tier, the private ones of a tier first and alone. */
export function phasesOf(policy: Policy): readonly Phase[] {
  const asked = candidates(policy)
  const tiers = [...new Set(asked.map(({ tier }) => tier))].sort((one, other) => one - other)
  return tiers
    .flatMap((tier) =>
      [true, false].map((isPrivate) => ({
        isPrivate,
        upstreams: asked
          .filter((upstream) => upstream.tier === tier && upstream.private === isPrivate)
          .map(({ name }) => name),
      })),
    )
    .filter(({ upstreams }) => upstreams.length > 0)
}
