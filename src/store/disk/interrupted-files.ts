import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseNarFileName } from '../../nix/nar-key.ts'
import type { NarStore } from '../../ports/nar-store.ts'

/** A note of the ETag under which a file was handed out while it was written: `<file name><this ending>`. */
export const etagEnding = '.etag'

/** Clients that were cut off come again within seconds. */
const maxAgeMs = 10 * 60_000
const maxEtagBytes = 1000

/** What the notes in a folder say that are not old; a folder that is not there has none. */
export async function readInterrupted(dir: string): Promise<NarStore['interrupted']> {
  const names = await readdir(dir).catch(() => [])
  const notes = await Promise.all(
    names.filter((name) => name.endsWith(etagEnding)).map((name) => readNote(dir, name)),
  )
  return notes.filter((note) => note !== null)
}

async function readNote(
  dir: string,
  name: string,
): Promise<NarStore['interrupted'][number] | null> {
  const key = parseNarFileName(name.slice(0, -etagEnding.length))
  const { mtimeMs, size } = await stat(join(dir, name))
  if (key === null || size > maxEtagBytes || Date.now() - mtimeMs > maxAgeMs) return null
  return { key, etag: await readFile(join(dir, name), 'utf8') }
}
