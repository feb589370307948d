import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder } from './sync-folder.ts'

/**
 * Replaces a file, durably, by one that its owner alone may read: whoever reads it, also after a crash, sees the old text or the
 * new one. One call at a time for a file, since the text passes through `<file>.new`, which a crash may leave and the next call takes.
 */
export async function replacePrivateFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`
  const handle = await open(temporary, 'w', 0o600)
  try {
    // What a crash left may be somebody's copy, with another mode.
    await handle.chmod(0o600)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, file)
  await syncFolder(dirname(file))
}
