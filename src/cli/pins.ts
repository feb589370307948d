import type { PinList } from '../admin/pins.ts'
import { formatTable } from './columns.ts'
import { type Command, UsageError } from './command.ts'
import { pinningFor } from './pinning-for.ts'
import { count, isoTime, mebibytes } from './words.ts'

/** `weir pins` */
export const pinsCommand: Command = {
  summary: 'list what is pinned, and how much of it is stored',
  help: `Lists the pins: since when, how many paths of each closure are stored, and what these take on disk. Closures may share paths, so that all pins
together may take less than their sum.`,
  operands: '',
  options: {},
  flags: { json: 'print JSON' },
  async run({ world, operands, flags, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings } = await load()
    await using pinning = await pinningFor(world, settings)
    const list = await pinning.list()
    world.out(flags.has('json') ? `${JSON.stringify(list, null, 2)}\n` : formatPins(list))
    return 0
  },
}

function formatPins({ pins, pinnedBytes, limitBytes }: PinList): string {
  if (pins.length === 0) return 'nothing is pinned\n'
  const rows = pins.map(({ path, sinceMs, paths, stored, storedBytes, unresolved }) => [
    ...[path, isoTime(sinceMs), `${stored} of ${unresolved > 0 ? 'at least ' : ''}${paths}`],
    mebibytes(storedBytes),
  ])
  const table = formatTable({ head: ['PATH', 'SINCE', 'STORED', 'SIZE'], rows })
  const all = `${mebibytes(pinnedBytes)} of the ${mebibytes(limitBytes)} that the cache may take`
  return `${table}\n${count(pins.length, 'pin')}: ${all}\n`
}
