import { createHash } from 'node:crypto'
import { formatPublicKey } from '../nix/signature.ts'
import type { Block, Blocked } from '../policy/block.ts'
import type { Policy, PolicyUpstream } from '../policy/policy.ts'
import type { Rule } from '../policy/rule.ts'
import { type Settings } from './settings.ts'

const EPOCH_DIGITS = 16

/** What the policy depends on besides the settings: the blocks that Weir keeps itself, and the upstreams that lied. */
export type PolicyState = {
  readonly blocks: readonly Block[]
  readonly suspended: ReadonlySet<string>
}

/** The policy that settings and state make together; the last of its upstreams is `import`. */
export function policyOf(settings: Settings, state: PolicyState): Policy {
  const { server, nar, policy, upstreams, importKeys, rules, blocks } = settings
  const content = {
    storeDir: server.storeDir,
    maxNarBytes: nar.maxNarBytes,
    upstreams: [...upstreams.map((upstream) => ofPolicy(upstream)), importUpstream(importKeys)],
    suspended: state.suspended,
    rules,
    unmatched: policy.unmatched,
    enforce: policy.enforce,
    blocks: [...blocks, ...state.blocks],
  }
  const keyBlocks = content.blocks.filter(({ blocked }) => blocked.kind === 'key')
  const choiceEpoch = epochOf({ ...content, blocks: keyBlocks })
  return { epoch: epochOf(content), choiceEpoch, ...content }
}

/** Without what says only how it is reached: a change of its address changes no verdict. */
function ofPolicy(upstream: PolicyUpstream): PolicyUpstream {
  const { name, keys, optional, tier, private: isPrivate, insecureUnsigned, equivalent } = upstream
  return { name, keys, optional, tier, private: isPrivate, insecureUnsigned, equivalent }
}

/** Whom stored files belong to that came without a record; it is never asked, and so never down. */
function importUpstream(keys: PolicyUpstream['keys']): PolicyUpstream {
  return {
    name: 'import',
    keys,
    optional: true,
    tier: 0,
    private: false,
    insecureUnsigned: false,
    equivalent: null,
  }
}

function epochOf(policy: Omit<Policy, 'epoch' | 'choiceEpoch'>): string {
  const plain = {
    ...policy,
    upstreams: policy.upstreams.map((each) => ({ ...each, keys: each.keys.map(formatPublicKey) })),
    suspended: [...policy.suspended].toSorted(),
    rules: policy.rules.map((rule) => plainRule(rule)),
    blocks: policy.blocks.map(({ blocked, reason }) => ({
      reason,
      blocked: plainBlocked(blocked),
    })),
  }
  const digest = createHash('sha256').update(JSON.stringify(plain, inOrder)).digest('hex')
  return digest.slice(0, EPOCH_DIGITS)
}

function plainRule(rule: Rule) {
  const { packages, signedBy } = rule
  return {
    ...rule,
    packages: [...packages].toSorted(),
    signedBy: signedBy?.map(formatPublicKey) ?? null,
  }
}

function plainBlocked(blocked: Blocked) {
  return blocked.kind === 'key' ? { ...blocked, key: formatPublicKey(blocked.key) } : blocked
}

/** For JSON.stringify: the same table has the same text, in whatever order it was put together. */
function inOrder(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
