import type { ReloadReport } from '../admin/admin.ts'
import { askControl, ControlError } from '../control/control-client.ts'
import type { Settings } from '../settings/settings.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { type CliWorld, type Command, type CommandInput, UsageError } from './command.ts'
import { describeFailure } from './describe-failure.ts'
import { noWeirRuns } from './no-weir-runs.ts'

/** `weir reload` */
export const reloadCommand: Command = {
  summary: 'have the running Weir take its configuration anew',
  help: `The Weir that runs on the configured state folder reads again the configuration that it was started with, as on SIGHUP.
A change of rules, keys, upstreams or recalls holds at once, also for what is stored and for transfers that run.
Where the configuration is wrong, its problems are printed (exit status 1), and the old one stays.`,
  operands: '',
  options: {},
  flags: {},
  async run(input) {
    if (input.operands.length > 0) throw new UsageError('takes no operands')
    const { world } = input
    try {
      const { settings } = await input.load()
      return await reload(world, settings)
    } catch (error) {
      if (!(error instanceof SettingsError) && !(error instanceof ControlError)) throw error
      world.err(`weir: ${describeFailure(error)}\n\n${stays(error)}\n`)
      return 1
    }
  },
}

async function reload(world: CommandInput['world'], { state }: Settings): Promise<number> {
  const report = await askControl<ReloadReport>(state.dir, { method: 'POST', path: '/reload' })
  if (report === null) return noWeirRuns(world, state.dir)
  tell(world, report)
  return 0
}

function tell({ out }: CliWorld, report: ReloadReport): void {
  const { epoch, isPolicyChanged, needRestart, warnings } = report
  out(
    isPolicyChanged
      ? `reloaded: the policy changed, its epoch is ${epoch} now\n`
      : `reloaded: the policy is the same, epoch ${epoch}\n`,
  )
  if (needRestart.length > 0) {
    out(`changed, and taken up only by a restart: ${needRestart.join(', ')}\n`)
  }
  for (const warning of warnings) out(`warning: ${warning}\n`)
}

/** A configuration that cannot be read here was not sent to anybody: who runs does not even know of it. */
function stays(error: SettingsError | ControlError): string {
  return error instanceof ControlError
    ? 'The running Weir did not take it: the configuration that it has stays.'
    : 'No Weir was asked to reload: one that runs keeps the configuration that it has, and the old one stays.'
}
