import { parseArgs } from 'node:util'
import { loadSettings } from '../settings/load-settings.ts'
import { readVersion } from '../version.ts'
import { catCommand } from './cat.ts'
import { checkCommand } from './check.ts'
import { type CliWorld, type Command, type CommandInput, UsageError } from './command.ts'
import { describeFailure } from './describe-failure.ts'
import { commandHelp, overview, usage } from './help.ts'
import { explainCommand } from './explain.ts'
import { forgetCommand } from './forget.ts'
import { gcCommand } from './gc.ts'
import { keyCommand } from './key.ts'
import { logCommand } from './log.ts'
import { lsCommand } from './ls.ts'
import { nixConfCommand } from './nix-conf.ts'
import { pinCommand } from './pin.ts'
import { pinsCommand } from './pins.ts'
import { policyCommand } from './policy.ts'
import { recallCommand } from './recall.ts'
import { reloadCommand } from './reload.ts'
import { serveCommand } from './serve.ts'
import { statsCommand } from './stats.ts'
import { statusCommand } from './status.ts'
import { treeCommand } from './tree.ts'
import { unpinCommand } from './unpin.ts'
import { upstreamCommand } from './upstream.ts'
import { verifyCommand } from './verify.ts'

const commands: ReadonlyMap<string, Command> = new Map([
  ['serve', serveCommand],
  ['check', checkCommand],
  ['nix-conf', nixConfCommand],
  ['key', keyCommand],
  ['status', statusCommand],
  ['policy', policyCommand],
  ['explain', explainCommand],
  ['reload', reloadCommand],
  ['log', logCommand],
  ['forget', forgetCommand],
  ['upstream', upstreamCommand],
  ['recall', recallCommand],
  ['ls', lsCommand],
  ['stats', statsCommand],
  ['verify', verifyCommand],
  ['gc', gcCommand],
  ['tree', treeCommand],
  ['cat', catCommand],
  ['pin', pinCommand],
  ['unpin', unpinCommand],
  ['pins', pinsCommand],
])

/** Runs a command line; returns the exit status: 0 well, 1 a failure, 2 a command line that cannot be meant. */
export async function runCli(argv: readonly string[], world: CliWorld): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    return showHelp(rest[0], world)
  }
  if (name === '--version' || name === '-V') {
    world.out(`weir ${readVersion()}\n`)
    return 0
  }
  const command = commands.get(name)
  if (command === undefined) {
    world.err(`weir: there is no command "${name}"\n\n${overview(commands)}`)
    return 2
  }
  return runCommand(name, command, rest, world)
}

async function runCommand(
  name: string,
  command: Command,
  argv: readonly string[],
  world: CliWorld,
): Promise<number> {
  try {
    const { flags, options, operands } = parseCommandLine(command, argv)
    if (flags.has('help')) return showHelp(name, world)
    return await command.run({
      ...{ world, flags, options, operands },
      version: readVersion(),
      load: () => loadSettings({ ...world, configFile: options['config'] }),
    })
  } catch (error) {
    if (error instanceof UsageError) {
      world.err(`weir ${name}: ${error.message}\n${usage(name, command)}`)
      return 2
    }
    world.err(`weir: ${describeFailure(error)}\n`)
    return 1
  }
}

function parseCommandLine(
  command: Command,
  argv: readonly string[],
): Pick<CommandInput, 'flags' | 'options' | 'operands'> {
  const { values, positionals } = parse(command, argv)
  const given = Object.entries(values)
  return {
    operands: positionals,
    flags: new Set(given.flatMap(([name, value]) => (value === true ? [name] : []))),
    options: Object.fromEntries(
      given.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
  }
}

type Parsed = {
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
}

function parse(command: Command, argv: readonly string[]): Parsed {
  const ofType = <Type extends 'string' | 'boolean'>(names: readonly string[], type: Type) =>
    Object.fromEntries(names.map((name) => [name, { type }]))
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        ...ofType(['config', ...Object.keys(command.options)], 'string'),
        ...ofType(Object.keys(command.flags), 'boolean'),
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function showHelp(name: string | undefined, world: CliWorld): number {
  const command = name === undefined ? undefined : commands.get(name)
  world.out(
    name === undefined || command === undefined ? overview(commands) : commandHelp(name, command),
  )
  return 0
}
