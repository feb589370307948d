import { type DestinationStream, destination, pino } from 'pino'
import { PinoPretty } from 'pino-pretty'
import type { Log } from '../ports/log.ts'
import type { LogFormat, LogLevel } from '../settings/settings.ts'
import { readableEvent } from './readable-event.ts'

/** The log on standard error: JSON lines, or readable ones where `format` says so or a terminal reads along. */
export function createLogger(
  { level, format }: { readonly level: LogLevel; readonly format: LogFormat },
  stderr: { readonly isTTY: boolean },
): Log {
  const isPretty = format === 'pretty' || (format === 'auto' && stderr.isTTY)
  // Synchronous: what was said before a crash has been written.
  const stream: DestinationStream = isPretty
    ? PinoPretty({
        destination: 2,
        sync: true,
        colorize: stderr.isTTY,
        hideObject: true,
        messageFormat: readableEvent,
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : destination({ dest: 2, sync: true })
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream)
}
