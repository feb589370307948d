import type { Inquiry } from './inquiry.ts'
import type { StoredAnswer } from './stored-answers.ts'

/**
 * Whether what is stored, and was not certain, is still the best that is known where the upstreams gave no trusted claim. Not where a
 * claim of those that it rests on was refused meanwhile, nor where a rule wants the word of everybody, or of several who took it back.
 */
export function mayStandIn(
  { answer, stored }: StoredAnswer,
  { slots }: Pick<Inquiry, 'slots'>,
): boolean {
  const { rule } = answer.verdict
  if (rule?.onDivergence === 'refuse') return false
  const restsOn = [stored, ...stored.witnesses].map(({ upstream }) => upstream)
  const said = slots
    .filter(({ upstream }) => restsOn.includes(upstream))
    .map((slot) => slot.answer?.kind)
  if (said.includes('refused')) return false
  return rule === null || rule.agree === 1 || !said.includes('absent')
}
