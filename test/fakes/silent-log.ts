import type { Log, LogEvent } from '../../src/ports/log.ts'

/** A log that is only kept. */
export type SilentLog = Log & {
  readonly events: readonly LogEvent[]
  /** The events of that name, in order. */
  named(event: string): readonly LogEvent[]
}

export function createSilentLog(): SilentLog {
  const events: LogEvent[] = []
  const keep = (event: LogEvent): void => {
    events.push(event)
  }
  return {
    events,
    named: (name) => events.filter(({ event }) => event === name),
    debug: keep,
    info: keep,
    warn: keep,
    error: keep,
  }
}
