import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

/** A process's identity: its number may be given out again, but not with the same start time. */
async function identify(pid: string): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    return `${pid}-${startTime}`
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return null
    throw error
  }
}

/** Renames a folder; false if another one that is not empty is in its place, or it is gone. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false
    throw error
  }
}

/**
 * Runs `work` unless `isDone`, in one process of the machine at a time, and returns once it is done.
 * The lock is the folder `lock`, which holds its owner's identity; a dead owner's lock is taken over.
 */
export async function doOnce(
  lock: string,
  isDone: () => Promise<boolean>,
  work: () => Promise<void>,
): Promise<void> {
  const self = (await identify(String(process.pid))) ?? ''
  // A folder moves into place together with its content, so that no lock is ever seen without an owner.
  const mine = await mkdtemp(`${lock}.`)
  await writeFile(join(mine, 'owner'), self)
  try {
    while (!(await isDone())) {
      if (await renamed(mine, lock)) {
        try {
          if (!(await isDone())) await work()
        } finally {
          await rm(lock, { recursive: true, force: true })
        }
        return
      }
      await breakStale(lock)
      await delay(100)
    }
  } finally {
    await rm(mine, { recursive: true, force: true })
  }
}

async function breakStale(lock: string): Promise<void> {
  let owner: string
  try {
    owner = await readFile(join(lock, 'owner'), 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  if ((await identify(owner.split('-')[0] ?? '')) === owner) return
  // The grave stays, so that of several who found this owner dead only one can bury it, and nobody a successor.
  await renamed(lock, `${lock}.dead-${owner}`)
}
