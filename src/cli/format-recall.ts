import { describeBlocked } from '../admin/describe-blocked.ts'
import type { RecallReport } from '../admin/recall.ts'
import type { Block } from '../policy/block.ts'
import type { ServedRecord } from '../ports/evidence.ts'
import { formatTable } from './columns.ts'
import { count, isoTime, mebibytes } from './words.ts'

/** What a recall did, and who has what it is of. */
export function formatRecall(
  { blocked, reason }: Block,
  { isNew, purgedNars, purgedBytes, served }: RecallReport,
  { isRunning }: { readonly isRunning: boolean },
): string {
  const what = describeBlocked(blocked)
  const clients = new Set(served.map(({ client }) => client)).size
  return [
    isNew ? `recalled: ${what}: ${reason}` : `${what} was recalled already`,
    ...(isRunning ? [] : ['no Weir runs: it holds from the next start']),
    `removed from the cache: ${count(purgedNars, 'NAR')}, ${mebibytes(purgedBytes)}`,
    served.length === 0
      ? 'nobody got it from here'
      : `${count(clients, 'client')} got it from here:`,
    '',
  ]
    .join('\n')
    .concat(served.length === 0 ? '' : `\n${formatServed(served)}`)
}

/** Who got what, and when. */
export function formatServed(served: readonly ServedRecord[]): string {
  const rows = served.map(({ client, path, firstMs, lastMs, count: times }) => [
    ...[client, path, isoTime(firstMs), isoTime(lastMs), String(times)],
  ])
  return formatTable({ head: ['CLIENT', 'PATH', 'FIRST', 'LAST', 'TIMES'], rows })
}
