import { askStatus } from '../control/control-client.ts'
import { type Command, UsageError } from './command.ts'

/** `weir status` */
export const statusCommand: Command = {
  summary: 'say what the running Weir is doing',
  help: 'Asks the Weir that runs on the configured state folder, over its control socket. Exit status 1 where none runs.',
  operands: '',
  options: {},
  async run({ world, operands, load }) {
    if (operands.length > 0) throw new UsageError('takes no operands')
    const { settings } = await load()
    const status = await askStatus(settings.state.dir)
    if (status === null) {
      world.err(`weir: no weir runs on ${settings.state.dir}\n`)
      return 1
    }
    const { cache } = status
    const lines = [
      ['version', status.version],
      ['process', `${status.pid}, up ${status.uptimeSeconds} s`],
      ['address', status.address],
      ['public key', status.publicKey],
      ['configuration', status.configuration],
      ['upstreams', status.upstreams.join(', ')],
      [
        'cache',
        `${cache.dir}: ${cache.nars} NARs, ${mebibytes(cache.bytes)} of ${mebibytes(cache.limitBytes)}`,
      ],
    ]
    world.out(lines.map(([name = '', value = '']) => `${name.padEnd(14)} ${value}\n`).join(''))
    return 0
  },
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
