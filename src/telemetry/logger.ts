import { type DestinationStream, destination, pino } from 'pino'
import { PinoPretty } from 'pino-pretty'
import type { Log } from '../ports/log.ts'
import type { LogLevel } from '../settings/log-level.ts'
import type { LogFormat } from '../settings/settings.ts'
import { readableEvent } from './readable-event.ts'
import { redact } from './redact.ts'

/** A log whose least severe level can be changed while it is used. */
export type Logger = Log & {
  level(): LogLevel
  setLevel(level: LogLevel): void
}

export type LoggerOptions = {
  readonly level: LogLevel
  readonly format: LogFormat
  /** Standard error. */
  readonly stderr: { readonly isTTY: boolean }
  /** The request that is being answered; `null` where it is none. */
  readonly requestId: () => string | null
}

/** What no event has a business to hold, whatever it is called in. */
const secretNames = ['authorization', 'cookie', 'password', 'secret', 'token']
const secretPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])

/**
 * The log on standard error: JSON lines, or readable ones where `format` says so or a terminal reads along. Events of a request have its
 * id as `request`; secrets that can be told by their name or place are left out.
 */
export function createLogger({ level, format, stderr, requestId }: LoggerOptions): Logger {
  const isPretty = format === 'pretty' || (format === 'auto' && stderr.isTTY)
  // Synchronous: what was said before a crash has been written.
  const lines: DestinationStream = isPretty
    ? PinoPretty({
        destination: 2,
        sync: true,
        colorize: stderr.isTTY,
        hideObject: true,
        messageFormat: readableEvent,
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : destination({ dest: 2, sync: true })
  const stream: DestinationStream = {
    write(line) {
      lines.write(redact(line))
    },
  }
  const options = {
    ...{ level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    redact: { paths: secretPaths, censor: '[redacted]' },
    mixin: () => {
      const request = requestId()
      return request === null ? {} : { request }
    },
  }
  const log = pino(options, stream)
  let current = level
  return {
    debug: (event) => {
      log.debug(event)
    },
    info: (event) => {
      log.info(event)
    },
    warn: (event) => {
      log.warn(event)
    },
    error: (event) => {
      log.error(event)
    },
    level: () => current,
    setLevel(next) {
      current = next
      log.level = next
    },
  }
}
