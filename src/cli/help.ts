import { readVersion } from '../version.ts'
import type { Command } from './command.ts'

const configHelp = 'the configuration, TOML or JSON (else $WEIR_CONFIG, else built-in defaults)'

/** What a command is for, and everything that it takes. */
export function commandHelp(name: string, command: Command): string {
  const options = [
    ...Object.entries(command.options),
    ...Object.entries(command.flags),
    ['config', configHelp] as const,
  ]
  const width = Math.max(...options.map(([option]) => option.length))
  const list = options.map(([option, help]) => `  --${option.padEnd(width)}  ${help}\n`).join('')
  return `${usage(name, command)}\n${command.help}\n\nOptions:\n${list}`
}

/** How a command is written, in a line. */
export function usage(name: string, { operands, options, flags }: Command): string {
  const parts = [
    ...['weir', name, '[--config FILE]'],
    ...Object.keys(options).map((option) => `[--${option} …]`),
    ...Object.keys(flags).map((flag) => `[--${flag}]`),
    operands,
  ]
  return `Usage: ${parts.filter((part) => part !== '').join(' ')}\n`
}

/** All commands, each with what it does. */
export function overview(commands: ReadonlyMap<string, Command>): string {
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
