import type { ExplainedRule } from '../admin/explanation.ts'
import { describeConditions, noRuleWords } from '../admin/explanation-words.ts'

/** A rule in words, its name in a line of its own. */
export function describeRule(rule: ExplainedRule | null): string {
  if (rule === null) return `${noRuleWords}\n`
  return `${rule.name}\n${describeConditions(rule).join('; ')}\n`
}
