import { faultCases } from './fault-cases.ts'
import type { FaultRow, Outcome } from './try-fault.ts'

/** The columns of the table in docs/faults.md. */
export const columns = [
  'the upstream …',
  'beside it',
  'without the fault',
  'the first command',
  'the next one',
  'once it is over',
  'what the client says',
] as const

/** What stands in the first two columns: every fault, alone and beside a good upstream. */
export const rowHeads: readonly (readonly [string, string])[] = faultCases.flatMap(({ title }) => [
  [title, 'nothing'],
  [title, 'a good one'],
])

/** The rows as a table in Markdown. */
export function formatTable(rows: readonly FaultRow[]): string {
  const lines = rows.map(({ fault, isAlone, outcomes }) => {
    const { calm, first, later, after } = outcomes
    const why = first.why === '' ? later.why : first.why
    const times = [calm, first, later, after].map(describe)
    return [fault.title, isAlone ? 'nothing' : 'a good one', ...times, why]
  })
  const all = [columns, columns.map(() => '---'), ...lines]
  return all.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

function describe({ isRight, ms }: Outcome): string {
  const seconds = `${(ms / 1000).toFixed(1)} s`
  return isRight ? seconds : `fails, ${seconds}`
}
