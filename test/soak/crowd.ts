import { setTimeout as delay } from 'node:timers/promises'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { mustHold } from '../lab/deliveries.ts'
import { pathOf } from '../lab/forged-offer.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { diskBytes, disagreements, partialFiles, wrongFiles } from './cache-state.ts'
import { createDice, type Dice } from './dice.ts'
import { encodings, makeCache } from './made-cache.ts'
import { makeClosure, type Offers } from './made-closure.ts'
import type { Tally } from './tally.ts'
import { closureOf, wander } from './wander.ts'

export type CrowdOptions = {
  readonly seed: number
  readonly seconds: number
  readonly rawClients: number
  readonly nixClients: number
  readonly paths: number
  readonly tally: Tally
}

const mebibyte = 1 << 20
/** Two workers' buffers and the transfers' of everybody: what matters is that it does not grow with time. */
const maxRssOverIdle = 256 * mebibyte
/** The most transfers at once, as in Weir's own default. */
const maxTransfers = 24

/** Many clients walk random closures through a cache of a tenth of their size. */
export async function tryCrowd(options: CrowdOptions): Promise<void> {
  const { seed, seconds, rawClients, nixClients, paths, tally } = options
  const dice = createDice(seed)
  const key = generateSecretKey('made-1')
  const keys = [formatPublicKey(key.publicKey)]
  const offers = makeClosure({ dice, key, paths, minBytes: 4000, maxBytes: 3_000_000 })
  const sizes = offers.map(({ nar }) => nar.length)
  const limit = Math.round(sizes.reduce((sum, bytes) => sum + bytes, 0) / 10)
  await using cache = await makeCache(offers, dice.pick(encodings))
  await using upstream = await startUpstream({ root: cache.root })
  await using weir = await startWeir({
    config: {
      upstreams: [{ name: 'made', url: upstream.url, keys }],
      extra: { cache: { max_size: limit }, log: { level: 'info' } },
    },
  })
  const idle = await weir.rssBytes()
  const signal = AbortSignal.timeout(seconds * 1000)
  const base = { url: weir.url, offers, tally, signal }
  const most = limit + Math.max(...sizes) * Math.min(maxTransfers, rawClients + 16 * nixClients)
  await Promise.all([
    ...Array.from({ length: rawClients }, () => wander({ ...base, dice: dice.split() })),
    ...Array.from({ length: nixClients }, () => substitute({ ...base, dice: dice.split() }, keys)),
    watchSize(weir.cacheDir, most, tally, signal),
  ])
  const over = (await weir.peakRssBytes()) - idle
  tally.count('MiB of RSS over idle', over >> 20)
  if (over > maxRssOverIdle) tally.fail(`RSS ${over >> 20} MiB over idle`)
  await weir.stop()
  for (const what of await disagreements(weir)) tally.fail(what)
  for (const name of await partialFiles(weir)) tally.fail(`left: .partial/${name}`)
  for (const name of await wrongFiles(weir, offers)) tally.fail(`stored, and wrong: ${name}`)
  const atLast = await diskBytes(weir.cacheDir)
  tally.count('MiB of cache allowed', limit >> 20)
  tally.count('MiB of cache in the end', atLast >> 20)
}

type SubstituteOptions = {
  readonly url: string
  readonly offers: Offers
  readonly dice: Dice
  readonly tally: Tally
  readonly signal: AbortSignal
}

/** A real client that substitutes random closures into an empty store, one after the other. */
async function substitute(
  options: SubstituteOptions,
  publicKeys: readonly string[],
): Promise<void> {
  const { url, offers, dice, tally, signal } = options
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys })
  while (!signal.aborted) {
    await client.wipe()
    const root = dice.pick(offers)
    const { code, stderr } = await client.realise([pathOf(root)], { substituters: [url] })
    if (code !== 0) tally.fail(`a command failed: ${stderr}`)
    else await mustHold(client, closureOf(root, offers))
    tally.count('commands')
  }
}

/** Looks again and again at what the cache takes on its disk. */
async function watchSize(
  dir: string,
  maxBytes: number,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  let most = 0
  while (!signal.aborted) {
    most = Math.max(most, await diskBytes(dir))
    await delay(100)
  }
  tally.count('MiB of cache at most', most >> 20)
  if (most > maxBytes) tally.fail(`the cache took ${most} bytes, ${maxBytes} were allowed`)
}
