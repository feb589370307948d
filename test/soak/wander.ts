import type { Offer } from '../lab/forged-offer.ts'
import type { Dice } from './dice.ts'
import { fetchPath, type Fetched } from './fetch-path.ts'
import type { Offers } from './made-closure.ts'
import type { Tally } from './tally.ts'

export type WanderOptions = {
  readonly url: string
  readonly offers: Offers
  readonly dice: Dice
  readonly tally: Tally
  /** Ends it between two paths. */
  readonly signal: AbortSignal
  /** Whether it is no failure now that Weir cannot be reached, or cuts a body: it is being killed. */
  readonly mayBreak?: () => boolean
  /** Told of each piece of a body that came. */
  readonly heard?: () => void
}

/** A client that fetches random closures, path by path, and resumes some of the NARs, until the signal or Weir's end. */
export async function wander(options: WanderOptions): Promise<void> {
  const { offers, dice, signal } = options
  const isOver = () => signal.aborted
  while (!isOver()) {
    for (const offer of closureOf(dice.pick(offers), offers)) {
      if (isOver() || !(await visit(options, offer))) return
    }
  }
}

/** A path and all that it refers to, itself first. */
export function closureOf(root: Offer, offers: Offers): readonly Offer[] {
  const found = new Set([root])
  for (const { narinfo } of found) {
    for (const { hash } of narinfo.references) {
      const reference = offers.find((offer) => offer.narinfo.storePath.hash === hash)
      if (reference !== undefined) found.add(reference)
    }
  }
  return [...found]
}

/** Fetches one path; false where Weir is gone. */
async function visit(options: WanderOptions, offer: Offer): Promise<boolean> {
  const { url, dice, tally, mayBreak = () => false, heard = () => undefined } = options
  const hangUp = dice.below(4) === 0 ? { hangUpAfterBytes: 1 + dice.below(offer.nar.length) } : {}
  const got = await fetchPath(url, offer, { pace: heard, ...hangUp })
  if (got.kind !== 'cut') judge(got, tally)
  else if (mayBreak()) return false
  else tally.fail(`cut: ${offer.narinfo.storePath.baseName}`)
  return true
}

/** Counts what a client got while the upstreams had everything. */
export function judge(got: Exclude<Fetched, { kind: 'cut' }>, tally: Tally): void {
  switch (got.kind) {
    case 'right':
      tally.count('NARs')
      if (got.resumes > 0) tally.count('resumes')
      return
    case 'wrong':
      tally.fail(got.why)
      return
    case 'refused':
      // A resume of a file that cannot be made again is refused for good, and only so.
      if (got.what === 'resume' && got.status === 404) tally.count('resumes refused')
      else tally.fail(`${got.what}: status ${got.status}: ${got.text}`)
  }
}
