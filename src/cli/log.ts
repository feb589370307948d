import { askControl } from '../control/control-client.ts'
import { parseLogLevel, logLevels, type LogLevel } from '../settings/log-level.ts'
import { type Command, UsageError } from './command.ts'
import { noWeirRuns } from './no-weir-runs.ts'

/** `weir log` */
export const logCommand: Command = {
  summary: 'how much the running Weir logs, and another level for now',
  help: `Says how much the running Weir logs. With a level it logs so much from now on: until its next restart, or until a reload names another
log.level than the last one did. Every answer to a client has an X-Request-Id, which all that is logged for it has as "request".

  weir log        weir log debug

The levels are ${logLevels.join(', ')}.`,
  operands: '[LEVEL]',
  options: {},
  flags: {},
  async run({ world, operands, load }) {
    const [text, ...more] = operands
    if (more.length > 0) throw new UsageError('takes one level')
    const level = text === undefined ? null : parseLogLevel(text)
    if (text !== undefined && level === null) {
      throw new UsageError(`"${text}" is no level: there are ${logLevels.join(', ')}`)
    }
    const { settings } = await load()
    const request =
      level === null
        ? ({ method: 'GET', path: '/log-level' } as const)
        : ({ method: 'POST', path: '/log-level', query: { level } } as const)
    const answer = await askControl<{ readonly level: LogLevel }>(settings.state.dir, request)
    if (answer === null) return noWeirRuns(world, settings.state.dir)
    world.out(`${answer.level}\n`)
    return 0
  },
}
