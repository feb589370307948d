import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { wholeNumber, type Random } from './random.ts'

/** A file of this machine whose content a closure is made of. */
export type PoolFile = {
  readonly path: string
  readonly size: number
  readonly executable: boolean
}

/** Archives: what is compressed already is rare in closures, and would hide what decoding costs. */
const archive = /\.(zip|jar|jmod|gz|xz|zst|bz2|tgz|whl|deb|sym|jsa)$/

/** The regular files below folders, archives left out, the smallest first; folders that are not there are skipped. */
export async function listPool(folders: readonly string[]): Promise<readonly PoolFile[]> {
  const lists = await Promise.all(folders.map(listFolder))
  return lists
    .flat()
    .toSorted((a, b) => a.size - b.size || (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

async function listFolder(folder: string): Promise<PoolFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files: PoolFile[] = []
  for (const entry of entries) {
    if (!entry.isFile() || archive.test(entry.name)) continue
    const path = join(entry.parentPath, entry.name)
    const stats = await lstat(path).catch(() => null)
    if (stats === null || stats.size === 0) continue
    files.push({ path, size: stats.size, executable: (stats.mode & 0o111) !== 0 })
  }
  return files
}

const maxFiles = 400
const largePick = 0.08

/** Files of a pool that make up about `bytes`, never more: mostly small ones, and some that fill much of what is left. */
export function pickFiles(
  random: Random,
  pool: readonly PoolFile[],
  bytes: number,
): readonly PoolFile[] {
  const picked: PoolFile[] = []
  let left = bytes
  while (left > bytes / 50 && picked.length < maxFiles) {
    const atLeast = random() < largePick ? left / 4 : 1
    const file = pickBetween(random, pool, atLeast, left) ?? pickBetween(random, pool, 1, left)
    if (file === null) break
    picked.push(file)
    left -= file.size
  }
  return picked
}

function pickBetween(random: Random, pool: readonly PoolFile[], atLeast: number, atMost: number) {
  const from = firstAbove(pool, atLeast - 1)
  const to = firstAbove(pool, atMost)
  return from < to ? (pool[wholeNumber(random, from, to)] ?? null) : null
}

/** The index of the first file larger than `size`. */
function firstAbove(pool: readonly PoolFile[], size: number): number {
  let low = 0
  let high = pool.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((pool[middle]?.size ?? 0) > size) high = middle
    else low = middle + 1
  }
  return low
}
