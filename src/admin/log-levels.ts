import type { LogLevel } from '../settings/log-level.ts'

/** How much is logged: it can be changed while Weir runs. */
export type LogLevels = {
  level(): LogLevel
  setLevel(level: LogLevel): void
}
