import type { AnswerSlot } from '../policy/answer.ts'
import type { Policy } from '../policy/policy.ts'
import type { PlacedCase } from '../policy-test/read-cases.ts'
import type { CaseResult } from '../policy-test/run-case.ts'
import { explainRule } from '../admin/explain-rule.ts'
import { formatTable, indent } from './columns.ts'
import { describeRule } from './describe-rule.ts'
import { describeSignature } from '../admin/explanation-words.ts'

/** Why a case is not as expected: both verdicts, the rule that decided, and what became of each claim. */
export function formatFailure(
  file: string,
  { test, line }: PlacedCase,
  result: CaseResult,
  { rules }: Pick<Policy, 'rules'>,
): string {
  const { expect } = test
  const rule = rules.find(({ name }) => name === result.rule)
  const [ruleName = '', conditions = ''] = describeRule(rule ? explainRule(rule) : null).split('\n')
  const rows = [
    ['where', line === null ? file : `${file}, line ${line}`],
    ['path', test.path],
    ['expected', describeExpected(expect)],
    ['found', describeFound(result)],
    ...(expect.rule === undefined ? [] : [['expected rule', expect.rule || 'none']]),
    ['rule', ruleName],
    ...(conditions === '' ? [] : [['', conditions]]),
    // `import` is asked always, and says something only in a case about it.
    ...result.slots
      .filter(({ upstream, answer }) => upstream !== 'import' || answer?.kind !== 'absent')
      .map((slot) => [slot.upstream, describeSlot(slot)]),
  ]
  return indent(alignPairs(rows), 8)
}

function alignPairs(rows: readonly (readonly string[])[]): string {
  const [head = ['', ''], ...rest] = rows
  return formatTable({ head, rows: rest, widths: [null, 76] })
}

function describeExpected({ verdict, upstream, reason }: PlacedCase['test']['expect']): string {
  const by =
    upstream === undefined ? '' : verdict === 'trusted' ? `, from ${upstream}` : `, ${upstream}`
  return `${verdict}${by}${reason === undefined ? '' : `: ${reason}`}`
}

function describeFound({ verdict, upstream, slots }: CaseResult): string {
  if (upstream !== null) return `${verdict}, from ${upstream}`
  const refused = slots.flatMap(({ upstream: name, answer }) =>
    answer?.kind === 'refused' ? [`${name}: ${answer.verdict.reason}`] : [],
  )
  return [verdict, ...refused].join(', ')
}

/** What an upstream's answer was judged, and what its signatures are worth. */
function describeSlot({ isAsked, answer }: AnswerSlot): string {
  if (answer === null) return isAsked ? 'awaited' : 'not asked'
  switch (answer.kind) {
    case 'absent':
      return 'absent'
    case 'unknown':
      return `unknown: ${answer.reason}`
    case 'trusted':
    case 'refused': {
      const { verdict } = answer
      const why =
        verdict.kind === 'refused'
          ? `refused: ${verdict.reason}`
          : `trusted: ${verdict.voucher.kind}`
      const block = verdict.kind === 'refused' && verdict.block ? ` (${verdict.block.reason})` : ''
      const signatures = verdict.evidence.map(
        (signature) => `${signature.keyName}: ${describeSignature(signature)}`,
      )
      return [`${why}${block}`, ...(signatures.length === 0 ? ['no signature'] : signatures)].join(
        '; ',
      )
    }
  }
}
