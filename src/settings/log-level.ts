/** From the most that is logged to the least. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** The least severe event that is logged. */
export type LogLevel = (typeof logLevels)[number]

/** A level by its name, `null` where there is none of that name. */
export function parseLogLevel(text: string): LogLevel | null {
  return logLevels.find((level) => level === text) ?? null
}
