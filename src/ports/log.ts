/** What happened: `event` is a dotted name from a finite set, the rest its facts. */
export type LogEvent = { readonly event: string } & Readonly<Record<string, unknown>>

/** Structured logging by level; pino's loggers fit as they are. */
export type Log = {
  debug(event: LogEvent): void
  info(event: LogEvent): void
  warn(event: LogEvent): void
  error(event: LogEvent): void
}
