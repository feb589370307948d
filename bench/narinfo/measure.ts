import { cpuSecondsOf } from '../cpu-time.ts'
import { runLoad } from './load.ts'

/** A process that answers for narinfos. */
export type Answering = { readonly url: string; readonly pid: number }

export type Sample = {
  readonly narinfosPerSecond: number
  /** Of the process and those below it, for each answer. */
  readonly cpuMicroseconds: number
}

/** Has it answer for each path once, a hundred at a time; throws where an answer is no 200. */
export async function askAll({ url }: Answering, hashes: readonly string[]): Promise<void> {
  for (let first = 0; first < hashes.length; first += 100) {
    await Promise.all(hashes.slice(first, first + 100).map((hash) => askNarinfo(url, hash)))
  }
}

async function askNarinfo(url: string, hash: string): Promise<void> {
  const response = await fetch(`${url}/${hash}.narinfo`)
  await response.bytes()
  if (!response.ok) throw new Error(`${hash}: ${response.status}`)
}

/** Asks for the paths again and again, over 25 connections that are kept. */
export async function measure(
  { url, pid }: Answering,
  hashes: readonly string[],
  seconds: number,
): Promise<Sample> {
  const before = await cpuSecondsOf(pid)
  const load = await runLoad({ url, hashes, connections: 25, seconds })
  const cpuSeconds = (await cpuSecondsOf(pid)) - before
  return {
    narinfosPerSecond: load.answers / load.seconds,
    cpuMicroseconds: (cpuSeconds / load.answers) * 1e6,
  }
}
