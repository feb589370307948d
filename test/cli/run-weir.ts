import { EventEmitter } from 'node:events'
import { join } from 'node:path'
import { runCli } from '../../src/cli/run-cli.ts'
import { type CommandResult, runCommand } from '../lab/run-command.ts'

const main = join(import.meta.dirname, '../../src/main.ts')

/** Runs a command line within this process, since there are many. */
export async function weir(...args: readonly string[]): Promise<CommandResult> {
  let [stdout, stderr] = ['', '']
  const code = await runCli(args, {
    env: {},
    homeDir: '/nonexistent',
    cores: 1,
    out: (text) => (stdout += text),
    write: async (bytes) => {
      stdout += Buffer.from(bytes).toString()
    },
    err: (text) => (stderr += text),
    isTerminal: false,
    signals: new EventEmitter(),
  })
  return { code, stdout, stderr }
}

/** Runs a command line as a process of its own. */
export function spawnWeir(...args: readonly string[]): Promise<CommandResult> {
  return runCommand(process.execPath, [main, ...args], {
    env: { HOME: '/nonexistent', NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] },
    timeoutMs: 60_000,
  })
}
