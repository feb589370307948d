import type { StorePathHash } from '../nix/store-path.ts'
import { blockOfHash } from '../policy/block.ts'
import type { Policy } from '../policy/policy.ts'
import type { Rule } from '../policy/rule.ts'
import type { Views } from '../policy/views.ts'
import type { Explanation } from './explanation.ts'

/** What can be said of a path of which no claim is at hand. */
export function explainWithoutClaims(
  { blocks }: Policy,
  hash: StorePathHash,
): Pick<Explanation, 'verdict' | 'reason'> {
  const block = blockOfHash(blocks, hash)
  return block === null
    ? { verdict: 'unknown', reason: 'nobody has asked for it lately, and it is not stored' }
    : { verdict: 'refused', reason: `blocked: ${block.reason}` }
}

/** The verdict of what upstreams said, and its reason in a sentence. */
export function explainVerdict(
  policy: Policy,
  views: Views,
  rule: Rule | null,
): Pick<Explanation, 'verdict' | 'reason'> {
  return { verdict: verdictOf(views), reason: reasonOf(policy, views, rule) }
}

function verdictOf({ serving: { choice, slots } }: Views): Explanation['verdict'] {
  switch (choice.kind) {
    case 'trusted':
    case 'unknown':
      return choice.kind
    case 'wait':
      return 'unknown'
    case 'absent':
      return slots.some(({ answer }) => answer?.kind === 'refused') ? 'refused' : 'absent'
  }
}

function reasonOf(policy: Policy, { serving }: Views, rule: Rule | null): string {
  const { choice, slots } = serving
  const byRule = rule === null ? 'no rule matches its name' : `the rule "${rule.name}" decides`
  const said = slots.flatMap(({ upstream, answer }) => {
    if (answer?.kind === 'refused') return [`${upstream}: ${answer.verdict.reason}`]
    return answer?.kind === 'unknown' ? [`${upstream}: ${answer.code}, ${answer.reason}`] : []
  })
  switch (choice.kind) {
    case 'trusted': {
      const { claim, verdict } = choice.answer
      const { voucher } = verdict
      const by =
        voucher.kind === 'signature'
          ? `signed by ${voucher.keyName}`
          : voucher.kind === 'content-address'
            ? 'its content address proves it'
            : 'that upstream is believed without a signature (insecure_unsigned)'
      return `${claim.upstream} has it, ${by}; ${byRule}`
    }
    case 'unknown':
    case 'wait':
      return `it cannot be told: ${said.join('; ')}`
    case 'absent':
      return said.length === 0
        ? 'nobody is known to have it'
        : `${said.join('; ')}; ${byRule}${rule === null && policy.unmatched === 'deny' ? ', and what none matches is refused' : ''}`
  }
}
