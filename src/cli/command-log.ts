import type { Log, LogEvent } from '../ports/log.ts'
import { readableEvent } from '../telemetry/readable-event.ts'
import type { CliWorld } from './command.ts'

/** The log of a command: what it finds it prints, so that only errors are left to be told. */
export function createCommandLog({ err }: Pick<CliWorld, 'err'>): Log {
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (event: LogEvent) => {
      err(`weir: ${readableEvent(event)}\n`)
    },
  }
}
