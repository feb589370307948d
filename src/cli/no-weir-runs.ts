import type { CliWorld } from './command.ts'

/** Says that there is nobody to ask; returns the exit status for that. */
export function noWeirRuns({ err }: Pick<CliWorld, 'err'>, stateDir: string): number {
  err(`weir: no weir runs on ${stateDir}\n`)
  return 1
}
