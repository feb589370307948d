import { askStatus } from '../control/control-client.ts'
import type { Status } from '../control/control-server.ts'
import { type Command, UsageError } from './command.ts'
import { noWeirRuns } from './no-weir-runs.ts'
import { count, mebibytes } from './words.ts'

/** `weir status` */
export const statusCommand: Command = {
  summary: 'say what the running Weir is doing',
  help: 'Asks the Weir that runs on the configured state folder, over its control socket. Exit status 1 where none runs.',
  operands: '',
  options: {},
  flags: {},
  async run({ world, operands, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings } = await load()
    const status = await askStatus(settings.state.dir)
    if (status === null) return noWeirRuns(world, settings.state.dir)
    const { cache } = status
    const lines = [
      ['version', status.version],
      ['process', `${status.pid}, up ${status.uptimeSeconds} s`],
      ['address', status.address],
      ['public key', status.publicKey],
      ['configuration', status.configuration],
      ['upstreams', status.upstreams.join(', ')],
      ['network', networkWords[status.network]],
      ['policy', describePolicy(status.policy)],
      ['suspended', status.policy.suspended.join(', ') || 'none'],
      [
        'cache',
        `${cache.dir}: ${cache.nars} NARs, ${mebibytes(cache.bytes)} of ${mebibytes(cache.limitBytes)}`,
      ],
      [
        'new NARs',
        cache.isStoring ? 'are kept' : 'are handed on and not kept: they cannot be written',
      ],
    ]
    world.out(lines.map(([name = '', value = '']) => `${name.padEnd(14)} ${value}\n`).join(''))
    return 0
  },
}

const networkWords: Readonly<Record<Status['network'], string>> = {
  online: 'the upstreams are asked',
  offline: 'offline: the configuration says that nobody is asked',
  'all-down': 'offline: every upstream is down; what is stored is served',
}

function describePolicy({ epoch, enforce, rules, blocks }: Status['policy']): string {
  const how = enforce ? 'enforced' : 'report only'
  return `${how}, ${count(rules, 'rule')}, ${count(blocks, 'recall')}, epoch ${epoch}`
}
