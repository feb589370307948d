import type { ExplainedRule } from '../admin/explanation.ts'
import { count } from './words.ts'

/** A rule in words, its name in a line of its own. */
export function describeRule(rule: ExplainedRule | null): string {
  if (rule === null) return 'none matches its name: [policy] unmatched decides\n'
  const { name, from, signedBy, agree, onDivergence } = rule
  const conditions = [
    from === null ? 'from any upstream' : `from ${from.join(', then ')}`,
    signedBy === null
      ? "signed by a key of the path's upstream"
      : `signed by ${signedBy.join(' or ')}`,
    ...(agree === 1 ? [] : [`${count(agree, 'upstream')} must say the same`]),
    ...(onDivergence === 'serve' ? [] : ['refused where upstreams differ']),
  ]
  return `${name}\n${conditions.join('; ')}\n`
}
