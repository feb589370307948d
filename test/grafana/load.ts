import { setTimeout as delay } from 'node:timers/promises'
import { askMetric, askNarinfo } from '../lab/ask-weir.ts'
import type { Offer } from '../lab/forged-offer.ts'
import { rawGet } from '../lab/raw-client.ts'
import type { WeirProcess } from '../lab/weir-process.ts'

/** What a client got that had to be fetched, and what it had got before. */
export type Counted = { hits: number; misses: number }

/** What clients counted, of each of what the dashboards have a hit ratio for. */
export type Counts = { readonly narinfos: Counted; readonly nars: Counted; readonly bytes: Counted }

/** A Weir, and what its clients have not asked for yet. */
export type Loaded = { readonly weir: WeirProcess; readonly nextPath: () => Promise<Offer> }

/** Counts of nothing yet. */
export function noCounts(): Counts {
  const none = () => ({ hits: 0, misses: 0 })
  return { narinfos: none(), nars: none(), bytes: none() }
}

/** How much of it came from the disk, 0 to 1. */
export function ratioOf({ hits, misses }: Counted): number {
  return hits / (hits + misses)
}

/** Clients get new paths as Nix does, and each of them again so many times once all are stored; they count what they get. */
export async function fetchRepeatedly(
  { weir, nextPath }: Loaded,
  times: number,
  counts: Counts,
): Promise<void> {
  const offers = await Promise.all([nextPath(), nextPath(), nextPath()])
  await Promise.all(offers.map((offer) => fetchOnce(weir, offer, 'misses', counts)))
  // Until then one might still read along with who fetched it.
  while ((await askMetric(weir, 'weir_transfers_running')) > 0) await delay(10)
  for (let time = 0; time < times; time += 1) {
    await Promise.all(offers.map((offer) => fetchOnce(weir, offer, 'hits', counts)))
  }
}

async function fetchOnce(
  weir: WeirProcess,
  offer: Offer,
  as: keyof Counted,
  { narinfos, nars, bytes }: Counts,
): Promise<void> {
  const { status, text, narUrl } = await askNarinfo(weir, offer)
  if (status !== 200) throw new Error(`narinfo: ${status} ${text}`)
  const nar = await rawGet(narUrl)
  if (nar.status !== 200 || !nar.complete) throw new Error(`NAR: ${nar.status}`)
  narinfos[as] += 1
  nars[as] += 1
  bytes[as] += nar.length
}

/** Clients get new paths, and some of them again, until the signal fires. */
export async function keepBusy(loaded: Loaded, counts: Counts, signal: AbortSignal): Promise<void> {
  const again = [0, 1, 3, 2, 5]
  for (let turn = 0; !signal.aborted; turn += 1) {
    await fetchRepeatedly(loaded, again[turn % again.length] ?? 0, counts)
  }
}

/** A client gets new paths, each once and whatever becomes of it, until the signal fires. */
export async function keepTurningOver(
  { weir, nextPath }: Loaded,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { narUrl } = await askNarinfo(weir, await nextPath())
    if (narUrl !== '') await rawGet(narUrl)
  }
}
