import type { PublicKey } from '../nix/signature.ts'
import type { StoreDir } from '../nix/store-path.ts'
import type { Block } from './block.ts'
import type { Rule } from './rule.ts'

/** An upstream as the policy sees it: who it is, when it is asked, and which keys may vouch for what it offers. */
export type PolicyUpstream = {
  readonly name: string
  readonly keys: readonly PublicKey[]
  /** Its outage counts as "does not have it". */
  readonly optional: boolean
  /** Asked only where no lower tier has a trusted claim; 0 is asked first. */
  readonly tier: number
  /** Asked first and alone in its tier, so that the names it holds never reach the others. */
  readonly private: boolean
  /** Its claims need no signature. What it gives is never signed by Weir. */
  readonly insecureUnsigned: boolean
  /** Upstreams of the same group need not be waited for where another of the group has a trusted claim. */
  readonly equivalent: string | null
}

/** Everything that a verdict depends on. A new object is a new policy epoch: whatever is kept is judged again. */
export type Policy = {
  /** Names what it says: the same rules, keys, upstreams and blocks have the same epoch, on every machine and after a restart. */
  readonly epoch: string
  /** The same without the recalls of paths, which take claims away and make no other one better: what a choice rested on. */
  readonly choiceEpoch: string
  readonly storeDir: StoreDir
  /** The largest NarSize that a claim may have, in bytes. */
  readonly maxNarBytes: number
  /** In order of preference. */
  readonly upstreams: readonly PolicyUpstream[]
  /** Names of upstreams that lied, until an operator clears them: what they say is refused. */
  readonly suspended: ReadonlySet<string>
  /** The first that matches decides. */
  readonly rules: readonly Rule[]
  /** What becomes of a path that no rule matches. */
  readonly unmatched: 'allow' | 'deny'
  /** False: report only. What the rules would refuse is served, counted, and not signed by Weir. */
  readonly enforce: boolean
  readonly blocks: readonly Block[]
}

/** The upstream of stored files that came without a record; the last of every policy. */
export const importUpstreamName = 'import'

/** Where an upstream stands among the policy's, 0 for the most preferred; infinity for one that the policy does not name. */
export function rankOf({ upstreams }: Pick<Policy, 'upstreams'>, name: string): number {
  const rank = upstreams.findIndex((upstream) => upstream.name === name)
  return rank === -1 ? Infinity : rank
}

/** The policy as it would be enforced, where it only reports. */
export function enforced(policy: Policy): Policy {
  return policy.enforce ? policy : { ...policy, enforce: true }
}

/** The plain order that report-only serves by: the upstreams' own keys, no rules; recalls hold all the same. */
export function plainOrder(policy: Policy): Policy {
  return { ...policy, rules: [], unmatched: 'allow', enforce: false }
}
