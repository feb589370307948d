import type { Rule } from '../policy/rule.ts'
import type { ExplainedRule } from './explanation.ts'

/** A rule as plain data, without the names that it is for. */
export function explainRule({ name, from, signedBy, agree, onDivergence }: Rule): ExplainedRule {
  return { name, from, signedBy: signedBy?.map((key) => key.name) ?? null, agree, onDivergence }
}
