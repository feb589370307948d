import { readFile } from 'node:fs/promises'
import { StateFileError } from './state-file-error.ts'

/** The text of a file in the state folder; `null` where there is none. Throws a StateFileError where it cannot be read. */
export async function readStateFile(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw new StateFileError(`${file} cannot be read: let Weir's user read it`, { cause })
  }
}
