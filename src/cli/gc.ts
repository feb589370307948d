import { parseSize } from '../settings/size.ts'
import { type Command, UsageError } from './command.ts'
import { formatBytes } from './progress.ts'
import { withUpkeep } from './with-upkeep.ts'
import { count } from './words.ts'

/** `weir gc` */
export const gcCommand: Command = {
  summary: 'remove from the cache what was used longest ago',
  help: `Brings the cache down to its limits now, as Weir does by itself when they are passed: what was used longest ago goes first. Whoever
reads a NAR that goes reads on to its end.

  weir gc                down to the limits of [cache]
  weir gc --to 5GiB      down to 5 GiB

The Weir that runs on the state folder does it; where none runs, this command does.`,
  operands: '',
  options: { to: 'how large the cache may still be, such as 5GiB' },
  flags: { json: 'print JSON' },
  async run({ world, operands, options, flags, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const downToBytes = readSize(options['to'])
    const { settings } = await load()
    const report = await withUpkeep(world, settings, ({ upkeep }) => upkeep.gc(downToBytes))
    const { swept, left, limitBytes } = report
    world.out(
      flags.has('json')
        ? `${JSON.stringify(report, null, 2)}\n`
        : `removed ${count(swept.nars, 'NAR')}, ${formatBytes(swept.bytes)}; left: ${count(left.nars, 'NAR')}, ${formatBytes(left.bytes)} of ${formatBytes(limitBytes)}\n`,
    )
    return 0
  },
}

function readSize(text: string | undefined): number | null {
  if (text === undefined) return null
  const bytes = parseSize(text)
  if (bytes === null) throw new UsageError(`--to takes a size such as 5GiB, not "${text}"`)
  return bytes
}
