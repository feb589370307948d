import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type NarFileKey, narFileName, parseNarFileName } from '../../nix/nar-key.ts'
import type { NarStore } from '../../ports/nar-store.ts'

/** Where the ETag is noted under which a file was handed out while it was written: `<the file's name>.<which of its writings>.etag`. */
export function noteName(key: NarFileKey, writing: string): string {
  return `${narFileName(key)}.${writing}${etagEnding}`
}

const etagEnding = '.etag'

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
  const key = parseNarFileName(name.replace(/\.[^.]*\.etag$/, ''))
  const { mtimeMs, size } = await stat(join(dir, name))
  if (key === null || size > maxEtagBytes || Date.now() - mtimeMs > maxAgeMs) return null
  return { key, etag: await readFile(join(dir, name), 'utf8') }
}
