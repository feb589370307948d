import { parseArgs } from 'node:util'
import { ListenError } from '../http/listen.ts'
import { loadSettings } from '../settings/load-settings.ts'
import { formatSettingsError, SettingsError } from '../settings/settings-error.ts'
import { FolderLockedError } from '../state/folder-lock.ts'
import { SigningKeyError } from '../state/signing-key.ts'
import { StateFileError } from '../state/state-file-error.ts'
import { CatalogVersionError } from '../store/sqlite/catalog-schema.ts'
import { EvidenceFileError } from '../store/sqlite/evidence-file-error.ts'
import { readVersion } from '../version.ts'
import { checkCommand } from './check.ts'
import { type CliWorld, type Command, UsageError } from './command.ts'
import { keyCommand } from './key.ts'
import { nixConfCommand } from './nix-conf.ts'
import { serveCommand } from './serve.ts'
import { statusCommand } from './status.ts'

const commands: ReadonlyMap<string, Command> = new Map([
  ['serve', serveCommand],
  ['check', checkCommand],
  ['nix-conf', nixConfCommand],
  ['key', keyCommand],
  ['status', statusCommand],
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
    world.err(`weir: there is no command "${name}"\n\n${overview()}`)
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
    const { values, positionals } = parseOptions(command, argv)
    if (values['help'] === true) return showHelp(name, world)
    const options = Object.fromEntries(
      Object.entries(values).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      ),
    )
    return await command.run({
      world,
      version: readVersion(),
      operands: positionals,
      options,
      load: () => loadSettings({ ...world, configFile: options['config'] }),
    })
  } catch (error) {
    if (error instanceof UsageError) {
      world.err(`weir ${name}: ${error.message}\n${usage(name, command)}`)
      return 2
    }
    world.err(`weir: ${explain(error)}\n`)
    return 1
  }
}

function parseOptions(
  command: Command,
  argv: readonly string[],
): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
  const texts = ['config', ...Object.keys(command.options)]
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(texts.map((option) => [option, { type: 'string' as const }])),
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function showHelp(name: string | undefined, world: CliWorld): number {
  const command = name === undefined ? undefined : commands.get(name)
  if (name === undefined || command === undefined) {
    world.out(overview())
    return 0
  }
  const options = Object.entries({ ...command.options, config: configHelp })
    .map(([option, help]) => `  --${option.padEnd(10)} ${help}\n`)
    .join('')
  world.out(`${usage(name, command)}\n${command.help}\n\nOptions:\n${options}`)
  return 0
}

const configHelp = 'the configuration, TOML or JSON (else $WEIR_CONFIG, else built-in defaults)'

function usage(name: string, { operands, options }: Command): string {
  const parts = ['weir', name, '[--config FILE]', ...Object.keys(options).map((o) => `[--${o} …]`)]
  return `Usage: ${[...parts, operands].filter((part) => part !== '').join(' ')}\n`
}

function overview(): string {
  const list = [...commands]
    .map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}\n`)
    .join('')
  return `weir ${readVersion()}: a trust-enforcing caching substituter for Nix

Usage: weir COMMAND [--config FILE] …

Commands:
${list}
  weir COMMAND --help says more; weir --version prints the version.
Without a configuration Weir serves https://cache.nixos.org on http://127.0.0.1:8484.
`
}

/** What people can mend is said in a sentence; anything else is a fault of Weir's, and shown whole. */
function explain(error: unknown): string {
  if (error instanceof SettingsError) return formatSettingsError(error)
  if (
    error instanceof ListenError ||
    error instanceof FolderLockedError ||
    error instanceof SigningKeyError ||
    error instanceof StateFileError ||
    error instanceof CatalogVersionError ||
    error instanceof EvidenceFileError
  ) {
    return error.message
  }
  if (error instanceof Error && 'code' in error && 'path' in error) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
