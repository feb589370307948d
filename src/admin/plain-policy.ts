import { formatPublicKey } from '../nix/signature.ts'
import { packageSets } from '../policy/critical.ts'
import type { Block } from '../policy/block.ts'
import type { Policy } from '../policy/policy.ts'
import { describeBlocked } from './describe-blocked.ts'

/** A policy, and which of its blocks are the state folder's. */
export type PolicyWithRecalls = { readonly policy: Policy; readonly recalled: readonly Block[] }

/** A policy as plain data: what `weir policy show --json` prints, and `/api/v1/policy` answers. */
export type PlainPolicy = ReturnType<typeof plainPolicy>

/** What a policy says, with sets of packages by their names where a rule has all of one. */
export function plainPolicy({ policy, recalled }: PolicyWithRecalls) {
  const { epoch, enforce, unmatched, upstreams, rules, blocks, suspended } = policy
  return {
    ...{ epoch, enforce, unmatched },
    rules: rules.map((rule, index) => ({
      number: index + 1,
      name: rule.name,
      packages: foldSets(rule.packages),
      paths: rule.paths,
      from: rule.from,
      signed_by: rule.signedBy?.map(({ name }) => name) ?? null,
      agree: rule.agree,
      on_divergence: rule.onDivergence,
    })),
    upstreams: upstreams
      // `import` is there always, and says nothing without keys.
      .filter(({ name, keys }) => name !== 'import' || keys.length > 0)
      .map(({ name, tier, private: isPrivate, optional, insecureUnsigned, keys }) => ({
        ...{ name, tier, private: isPrivate, optional },
        insecure_unsigned: insecureUnsigned,
        suspended: suspended.has(name),
        keys: keys.map(formatPublicKey),
      })),
    blocks: blocks.map((block) => ({
      blocked: describeBlocked(block.blocked),
      reason: block.reason,
      by: recalled.includes(block) ? 'weir recall' : 'the configuration',
    })),
    suspended: [...suspended],
    sets: Object.fromEntries(packageSets),
  }
}

function foldSets(packages: ReadonlySet<string>): readonly string[] {
  const whole = [...packageSets].filter(([, members]) =>
    members.every((each) => packages.has(each)),
  )
  const covered = new Set(whole.flatMap(([, members]) => members))
  return [...whole.map(([set]) => set), ...[...packages].filter((each) => !covered.has(each))]
}
