import { basename } from 'node:path'
import { askNarinfo } from '../lab/ask-weir.ts'
import type { Offer } from '../lab/forged-offer.ts'
import { rawGet } from '../lab/raw-client.ts'
import type { WeirProcess } from '../lab/weir-process.ts'

/** What a client got that had to be fetched, and what it had got before. */
export type Counted = { hits: number; misses: number }

/** What clients counted, of each of what the dashboards have a hit ratio for. */
export type Counts = { readonly narinfos: Counted; readonly nars: Counted; readonly bytes: Counted }

/** Counts of nothing yet. */
export function noCounts(): Counts {
  const none = () => ({ hits: 0, misses: 0 })
  return { narinfos: none(), nars: none(), bytes: none() }
}

/** How much of it came from the disk, 0 to 1. */
export function ratioOf({ hits, misses }: Counted): number {
  return hits / (hits + misses)
}

/** A client gets a path as Nix does, and once it is stored so many times more; it counts what it got. */
export async function fetchRepeatedly(
  weir: WeirProcess,
  offer: Offer,
  times: number,
  counts: Counts,
): Promise<void> {
  const file = await fetchOnce(weir, offer, 'misses', counts)
  await weir.waitForLog('nar.stored', ({ nar }) => nar === file)
  for (let time = 0; time < times; time += 1) await fetchOnce(weir, offer, 'hits', counts)
}

/** Returns the name of the NAR's file. */
async function fetchOnce(
  weir: WeirProcess,
  offer: Offer,
  as: keyof Counted,
  { narinfos, nars, bytes }: Counts,
): Promise<string> {
  const { status, text, narUrl } = await askNarinfo(weir, offer)
  if (status !== 200) throw new Error(`narinfo: ${status} ${text}`)
  const nar = await rawGet(narUrl)
  if (nar.status !== 200 || !nar.complete) throw new Error(`NAR: ${nar.status}`)
  narinfos[as] += 1
  nars[as] += 1
  bytes[as] += nar.length
  return basename(narUrl)
}

/** Clients get new paths, and each of them again, until the signal fires. */
export async function keepBusy(
  weir: WeirProcess,
  nextPath: () => Promise<Offer>,
  signal: AbortSignal,
  counts: Counts,
): Promise<void> {
  const again = [0, 1, 3, 2, 5]
  for (let turn = 0; !signal.aborted; turn += 1) {
    await fetchRepeatedly(weir, await nextPath(), again[turn % again.length] ?? 0, counts)
  }
}

/** Clients get new paths, each once and whatever becomes of it, until the signal fires. */
export async function keepTurningOver(
  weir: WeirProcess,
  nextPath: () => Promise<Offer>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { narUrl } = await askNarinfo(weir, await nextPath())
    if (narUrl !== '') await rawGet(narUrl)
  }
}
