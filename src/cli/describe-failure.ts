import { NotShownError } from '../admin/stored-files.ts'
import { PinError } from '../admin/pins.ts'
import { ControlError } from '../control/control-client.ts'
import { ListenError } from '../http/listen.ts'
import { formatSettingsError, SettingsError } from '../settings/settings-error.ts'
import { FolderLockedError } from '../state/folder-lock.ts'
import { SigningKeyError } from '../state/signing-key.ts'
import { StateFileError } from '../state/state-file-error.ts'
import { CatalogVersionError } from '../store/sqlite/catalog-schema.ts'
import { EvidenceFileError } from '../store/sqlite/evidence-file-error.ts'
import { NoSuchFileError } from './look-inside.ts'

/** What people can mend is said in a sentence; anything else is a fault of Weir's, and shown whole. */
export function describeFailure(error: unknown): string {
  if (error instanceof SettingsError) return formatSettingsError(error)
  if (
    error instanceof ControlError ||
    error instanceof NotShownError ||
    error instanceof NoSuchFileError ||
    error instanceof PinError ||
    error instanceof ListenError ||
    error instanceof FolderLockedError ||
    error instanceof SigningKeyError ||
    error instanceof StateFileError ||
    error instanceof CatalogVersionError ||
    error instanceof EvidenceFileError
  ) {
    return error.message
  }
  if (error instanceof Error && 'code' in error && 'path' in error) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
