import type { SecretKey } from '../../src/nix/signature.ts'
import { makeOffer, noise, type Offer, signedBy } from '../lab/forged-offer.ts'
import type { Dice } from './dice.ts'

export type ClosureOptions = {
  readonly dice: Dice
  readonly key: SecretKey
  readonly paths: number
  /** The NARs' contents are from `minBytes` to `maxBytes`, most of them small. */
  readonly minBytes: number
  readonly maxBytes: number
}

export type Offers = readonly [Offer, ...Offer[]]

/** Makes signed paths, each of which refers to some of those before it; half of each compresses. */
export function makeClosure({ dice, key, paths, minBytes, maxBytes }: ClosureOptions): Offers {
  const makeOne = (index: number, earlier: readonly Offer[]): Offer => {
    const spread = Math.log(maxBytes / minBytes)
    // Squared, so that large ones are rare.
    const bytes = Math.round(minBytes * Math.exp(spread * (dice.below(1000) / 1000) ** 2))
    const seed = `${index}-${dice.below(2 ** 32)}`
    const references = new Set(
      Array.from(
        { length: Math.min(3, earlier.length) },
        () => earlier[dice.below(earlier.length)],
      ),
    )
    return signedBy(
      makeOffer({
        name: `made-${index}`,
        seed,
        content: Buffer.concat([noise(seed, bytes >> 1), Buffer.alloc(bytes >> 1, 'weir ')]),
        references: [...references].flatMap((offer) => offer?.narinfo.storePath ?? []),
      }),
      key,
    )
  }
  const offers: [Offer, ...Offer[]] = [makeOne(0, [])]
  for (let index = 1; index < paths; index += 1) offers.push(makeOne(index, offers))
  return offers
}
