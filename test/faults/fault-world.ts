import { formatPublicKey, generateSecretKey, type SecretKey } from '../../src/nix/signature.ts'
import { makeOffer, noise, type Offer, signedBy } from '../lab/forged-offer.ts'
import { createDice } from '../soak/dice.ts'
import { makeCache } from '../soak/made-cache.ts'
import { makeClosure } from '../soak/made-closure.ts'

/** What the upstreams of all cases have: as many closures as commands, alike in size, and two caches that hold them all. */
export type FaultWorld = AsyncDisposable & {
  readonly keys: readonly string[]
  readonly closures: Readonly<Record<Command, readonly Offer[]>>
  /** The folders of the upstream that fails, in xz, and of the good one, in zstd. */
  readonly roots: { readonly failing: string; readonly good: string }
}

/** The commands of a case, in turn: `start` only has everything warm. */
const commands = ['start', 'calm', 'first', 'later'] as const
export type Command = (typeof commands)[number]

/** Handed out as it comes, under this trial's `verify_first`. */
const largeNarBytes = 1_000_000

/** Makes them; `paths` is the size of each closure. */
export async function makeFaultWorld(options: {
  readonly seed: number
  readonly paths: number
}): Promise<FaultWorld> {
  const { seed, paths } = options
  const dice = createDice(seed)
  const key = generateSecretKey('made-1')
  const size = { paths: paths - 1, minBytes: 4000, maxBytes: 100_000 }
  const made = commands.map((command): readonly [Command, readonly Offer[]] => [
    command,
    [...makeClosure({ dice: dice.split(), key, ...size }), largeOffer(command, key)],
  ])
  const offers = made.flatMap(([, closure]) => closure)
  const failing = await makeCache(offers, 'xz')
  const good = await makeCache(offers, 'zstd')
  return {
    keys: [formatPublicKey(key.publicKey)],
    closures: Object.fromEntries(made) as Record<Command, readonly Offer[]>,
    roots: { failing: failing.root, good: good.root },
    [Symbol.asyncDispose]: async () => {
      await failing[Symbol.asyncDispose]()
      await good[Symbol.asyncDispose]()
    },
  }
}

function largeOffer(command: Command, key: SecretKey): Offer {
  const content = noise(command, largeNarBytes)
  return signedBy(makeOffer({ name: `large-${command}`, content }), key)
}
