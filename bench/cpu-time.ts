import { readdir, readFile } from 'node:fs/promises'

/** The kernel counts CPU time in hundredths of a second, whatever it schedules by. */
const ticksPerSecond = 100

type Stat = { readonly parent: number; readonly ownSeconds: number; readonly reapedSeconds: number }

/** CPU seconds (user and system) of a process, of the processes below it, and of those of them that have ended. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const stats = new Map<number, Stat>()
  for (const one of pids) {
    const stat = await readStat(one)
    if (stat !== null) stats.set(one, stat)
  }
  const isBelow = (one: number): boolean =>
    one === pid || (stats.has(one) && isBelow(stats.get(one)?.parent ?? 0))
  return [...stats]
    .filter(([one]) => isBelow(one))
    .reduce((sum, [, stat]) => sum + stat.ownSeconds + stat.reapedSeconds, 0)
}

/** CPU seconds of all children of this process that have ended so far, and of theirs. */
export async function cpuSecondsOfEndedChildren(): Promise<number> {
  return (await readStat(process.pid))?.reapedSeconds ?? 0
}

/** A process's times; null where it is gone. */
async function readStat(pid: number): Promise<Stat | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null)
  if (text === null) return null
  // The command's name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const seconds = (...indexes: readonly number[]) =>
    indexes.reduce((sum, index) => sum + Number(fields[index]), 0) / ticksPerSecond
  return { parent: Number(fields[1]), ownSeconds: seconds(11, 12), reapedSeconds: seconds(13, 14) }
}
