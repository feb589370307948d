import type { UpstreamState } from '../admin/admin.ts'
import { askControl } from '../control/control-client.ts'
import { formatTable } from './columns.ts'
import { type CliWorld, type Command, UsageError } from './command.ts'
import { noWeirRuns } from './no-weir-runs.ts'
import { isoTime } from './words.ts'

/** `weir upstream list`, `weir upstream suspend` and `weir upstream resume` */
export const upstreamCommand: Command = {
  summary: 'list the upstreams of the running Weir, suspend or resume one',
  help: `list says which upstreams are in use, which of them are down, and why those that are not in use are suspended.
suspend takes an upstream out of use: from that moment nothing that it says counts, nor what is stored of it.
resume believes it again. An upstream that signed a lying name is suspended by Weir itself, until you resume it.
All of it survives a restart, and asks the Weir that runs on the configured state folder.`,
  operands: 'list | suspend NAME | resume NAME',
  options: { why: 'suspend: the reason, for those who ask later' },
  flags: {},
  async run({ world, operands, options, load }) {
    const [action, name, ...more] = operands
    const isNamed = action === 'suspend' || action === 'resume'
    if (action !== 'list' && !isNamed) throw new UsageError('say list, suspend or resume')
    if ((name !== undefined) !== isNamed || more.length > 0) {
      throw new UsageError(isNamed ? `${action} takes one name` : 'list takes no name')
    }
    const { why } = options
    if (why !== undefined && action !== 'suspend') throw new UsageError('--why is for suspend')
    if (why === '') throw new UsageError('--why is empty')
    const { settings } = await load()
    const { dir } = settings.state
    if (action === 'list') return list(world, dir)
    const upstream = name ?? ''
    const query = {
      upstream,
      ...(action === 'suspend' && { why: why ?? 'suspended by an operator' }),
    }
    const path = `/${action}`
    const done = await askControl<{ readonly isNew: boolean }>(dir, { method: 'POST', path, query })
    if (done === null) return noWeirRuns(world, dir)
    world.out(`${upstream}: ${outcome(action, done.isNew)}\n`)
    return 0
  },
}

async function list(world: CliWorld, stateDir: string): Promise<number> {
  const path = '/upstreams'
  const states = await askControl<readonly UpstreamState[]>(stateDir, { method: 'GET', path })
  if (states === null) return noWeirRuns(world, stateDir)
  const rows = states.map(({ upstream, suspended, sinceMs, circuit }) => [
    upstream,
    suspended === null ? inUse(circuit) : 'suspended',
    sinceMs === null ? '' : isoTime(sinceMs),
    suspended ?? '',
  ])
  const head = ['UPSTREAM', 'STATE', 'SINCE', 'WHY']
  world.out(formatTable({ head, rows, widths: [null, null, null, 60] }))
  return 0
}

function inUse(circuit: UpstreamState['circuit']): string {
  switch (circuit) {
    case 'closed':
      return 'in use'
    case 'open':
      return 'down'
    case 'probing':
      return 'down, probed'
  }
}

function outcome(action: 'suspend' | 'resume', isNew: boolean): string {
  switch (action) {
    case 'suspend':
      return isNew ? 'suspended: nothing that it says counts' : 'was suspended already'
    case 'resume':
      return isNew ? 'in use again' : 'was not suspended'
  }
}
