import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import type { Rule } from '../../src/policy/rule.ts'
import { storeDir } from '../nix/fixtures.ts'
import { keys } from './test-claims.ts'

/** What a policy says of single upstreams, by their names. */
export type UpstreamChanges = Readonly<Record<string, Partial<PolicyUpstream>>>

/** A policy of upstreams in that order. For `a` and `b` the key of their name vouches, for others none; none is optional. */
export function testPolicy(
  upstreams: readonly string[],
  of: UpstreamChanges = {},
  changes: Partial<Policy> = {},
): Policy {
  return {
    epoch: 'epoch-1',
    choiceEpoch: 'epoch-1',
    storeDir,
    maxNarBytes: 2 ** 40,
    upstreams: upstreams.map((name) => ({
      name,
      keys: name === 'a' || name === 'b' ? [publicKeyOf(keys[name])] : [],
      optional: false,
      tier: 0,
      private: false,
      insecureUnsigned: false,
      equivalent: null,
      ...of[name],
    })),
    suspended: new Set(),
    rules: [],
    unmatched: 'allow',
    enforce: true,
    blocks: [],
    ...changes,
  }
}

/** A rule for every path, which says no more than what is given. */
export function testRule(changes: Partial<Rule> = {}): Rule {
  return {
    name: 'the rule',
    packages: new Set(),
    paths: ['*'],
    from: null,
    signedBy: null,
    agree: 1,
    onDivergence: 'serve',
    ...changes,
  }
}
