import type { Policy, PolicyUpstream } from '../../policy/policy.ts'

/** The upstreams in the order in which to ask them one by one: tier by tier, in each the private ones first, else as the policy has them. */
export function askingOrder({ upstreams }: Pick<Policy, 'upstreams'>): readonly PolicyUpstream[] {
  return upstreams.toSorted((a, b) => a.tier - b.tier || Number(b.private) - Number(a.private))
}
