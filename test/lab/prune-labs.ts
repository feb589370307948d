import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

const dayMs = 86_400_000

/** Removes what older versions of the lab left beside `dir` (same prefix, another name, unused for a day). */
export async function pruneLabs(dir: string, prefix: string, nowMs: number): Promise<void> {
  const parent = dirname(dir)
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix) || name.startsWith(basename(dir))) continue
    const stats = await stat(join(parent, name)).catch(() => null)
    if (stats === null || nowMs - stats.mtimeMs < dayMs) continue
    await rm(join(parent, name), { recursive: true, force: true })
  }
}
