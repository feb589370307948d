import type { NamedSums, Sums } from '../upkeep/stats.ts'
import type { StatsReport } from '../upkeep/upkeep.ts'
import { formatTable } from './columns.ts'
import { type Command, UsageError } from './command.ts'
import { formatBytes, formatTime } from './progress.ts'
import { untilInterrupted, withUpkeep } from './with-upkeep.ts'

const defaultTop = 10

/** `weir stats` */
export const statsCommand: Command = {
  summary: 'say what is stored, in numbers',
  help: `Counts what is stored: as a whole, by upstream, and by package, those first that take the most.
The Weir that runs on the state folder is asked; where none runs, the folders are.`,
  operands: '',
  options: { top: `how many packages to name; ${defaultTop} where it is not said` },
  flags: { json: 'print JSON' },
  async run({ world, operands, options, flags, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const top = readTop(options['top'])
    const { settings } = await load()
    const report = await withUpkeep(world, settings, ({ upkeep }) =>
      untilInterrupted(world, (signal) => upkeep.stats(top, signal)),
    )
    world.out(
      flags.has('json') ? `${JSON.stringify(report, null, 2)}\n` : formatStats(report, Date.now()),
    )
    return 0
  },
}

function readTop(text: string | undefined): number {
  if (text === undefined) return defaultTop
  if (!/^\d{1,6}$/.test(text)) throw new UsageError(`--top takes a number, not "${text}"`)
  return Number(text)
}

function formatStats(report: StatsReport, nowMs: number): string {
  const { nars, narBytes, fileBytes, limitBytes, oldestUseMs, packages, packageCount } = report
  const lines = [
    ...(report.isRebuilding ? ['the catalog is being rebuilt: the numbers still grow'] : []),
    `NARs            ${nars}`,
    `unpacked        ${formatBytes(narBytes)}`,
    `in files        ${formatBytes(fileBytes)}, ${ratio(report)} of it; the limit is ${formatBytes(limitBytes)}`,
    ...(oldestUseMs === null
      ? []
      : [`longest unused  ${formatTime(Math.max(0, nowMs - oldestUseMs))}`]),
  ]
  return [
    `${lines.join('\n')}\n`,
    sumsTable('UPSTREAM', report.upstreams),
    sumsTable(`PACKAGE (${packages.length} of ${packageCount})`, packages),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function sumsTable(title: string, sums: readonly NamedSums[]): string {
  if (sums.length === 0) return ''
  const rows = sums.map((each) => [
    ...[each.name, String(each.nars), formatBytes(each.narBytes)],
    ...[formatBytes(each.fileBytes), ratio(each)],
  ])
  return formatTable({ head: [title, 'NARS', 'UNPACKED', 'IN FILES', 'RATIO'], rows })
}

function ratio({ narBytes, fileBytes }: Sums): string {
  return narBytes === 0 ? '-' : `${Math.round((100 * fileBytes) / narBytes)} %`
}
