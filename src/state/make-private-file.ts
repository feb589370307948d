import { mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from './sync-folder.ts'

/** Writes a text, durably, to a file that must not exist (EEXIST), readable by its owner alone from the beginning. */
export async function makePrivateFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
    await syncFolder(dirname(file))
  } catch (error) {
    // Half a secret would stop every start from now on.
    await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}
