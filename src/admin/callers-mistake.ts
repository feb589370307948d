import { SettingsError } from '../settings/settings-error.ts'
import { NoSuchUpstreamError } from './admin.ts'
import { BadRequestError } from './bad-request-error.ts'
import { PinError } from './pins.ts'
import { NotShownError } from './stored-files.ts'

/** What is wrong with what was asked, on one line; `null` where something else went wrong. */
export function callersMistake(error: unknown): string | null {
  return isCallersMistake(error) ? error.message.replaceAll(/\s*\n\s*/g, ' ') : null
}

/** Whether what went wrong is what was asked, so that the message is for who asked. */
export function isCallersMistake(error: unknown): error is Error {
  return (
    error instanceof BadRequestError ||
    error instanceof SettingsError ||
    error instanceof NotShownError ||
    error instanceof PinError ||
    error instanceof NoSuchUpstreamError
  )
}
