import { setTimeout as delay } from 'node:timers/promises'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { failAtRandom } from '../faults/random-fault.ts'
import { mustHoldAll } from '../faults/must-hold-all.ts'
import { type Offer, pathOf } from '../lab/forged-offer.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { disagreements, partialFiles, wrongFiles } from './cache-state.ts'
import { createDice, type Dice } from './dice.ts'
import { fetchPath } from './fetch-path.ts'
import { type Encoding, makeCache, type MadeCache } from './made-cache.ts'
import { makeClosure, type Offers } from './made-closure.ts'
import type { Tally } from './tally.ts'
import { closureOf, judge } from './wander.ts'

export type RandomFaultsOptions = {
  readonly seed: number
  /** Rounds begin until then; there is one at least. */
  readonly seconds: number
  readonly rawClients: number
  readonly nixClients: number
  readonly paths: number
  /** How many closures each client fetches in a round. */
  readonly closures: number
  /** So many times the requests of a round without faults may be made; not looked at where `null`. */
  readonly maxRequests: number | null
  readonly tally: Tally
}

/** In order of preference. */
const encodings: readonly Encoding[] = ['xz', 'zstd', 'none']
/** Short, so that what hangs does not make a round long. */
const timeouts = { connect: '1s', headers: '1s', idle: '1s', narinfo: '3s' }

type World = {
  readonly keys: readonly string[]
  readonly offers: Offers
  readonly caches: readonly MadeCache[]
}

/** Clients fetch through three upstreams of which each fails at random, and one is gone for a while; each round runs without faults too. */
export async function tryRandomFaults(options: RandomFaultsOptions): Promise<void> {
  const { seed, seconds, paths, tally, maxRequests } = options
  const endMs = performance.now() + seconds * 1000
  const dice = createDice(seed)
  const key = generateSecretKey('made-1')
  const offers = makeClosure({ dice, key, paths, minBytes: 2000, maxBytes: 200_000 })
  await using resources = new AsyncDisposableStack()
  const caches: MadeCache[] = []
  for (const encoding of encodings) {
    caches.push(resources.use(await makeCache(offers, encoding)))
  }
  const world = { keys: [formatPublicKey(key.publicKey)], offers, caches }
  const asked = { calm: 0, faulty: 0 }
  do {
    const roundSeed = dice.below(2 ** 32)
    asked.calm += await runRound(options, world, createDice(roundSeed), false)
    asked.faulty += await runRound(options, world, createDice(roundSeed), true)
    tally.count('rounds')
  } while (performance.now() < endMs)
  tally.count('requests to upstreams without faults', asked.calm)
  tally.count('with faults', asked.faulty)
  if (maxRequests !== null && asked.faulty > maxRequests * asked.calm) {
    tally.fail(`${asked.faulty} requests to upstreams, and ${asked.calm} without faults`)
  }
}

/** One cold Weir, and everybody's closures through it; returns how often the upstreams were asked. */
async function runRound(
  { rawClients, nixClients, closures, tally }: RandomFaultsOptions,
  { keys, offers, caches }: World,
  dice: Dice,
  isFaulty: boolean,
): Promise<number> {
  await using resources = new AsyncDisposableStack()
  const upstreams: UpstreamServer[] = []
  for (const { root } of caches) upstreams.push(resources.use(await startUpstream({ root })))
  const named = upstreams.map(({ url }, index) => ({ name: `made-${index + 1}`, url, keys }))
  const weir = resources.use(
    await startWeir({
      config: {
        upstreams: named,
        extra: { timeouts, nar: { verify_first: '100kB' }, log: { level: 'info' } },
      },
      timeoutMs: 120_000,
    }),
  )
  const faultDice = dice.split()
  for (const { faults } of isFaulty ? upstreams : []) {
    failAtRandom(faults, faultDice.split(), () => {
      tally.count('faults')
    })
  }
  const gone = upstreams[faultDice.below(upstreams.length)] ?? null
  const progress = outage(isFaulty ? gone : null)
  const base = { url: weir.url, offers, tally, closures, arrived: progress.arrived }
  await Promise.all([
    ...Array.from({ length: rawClients }, () => walk({ ...base, dice: dice.split() })),
    ...Array.from({ length: nixClients }, () => substitute({ ...base, dice: dice.split() }, keys)),
  ])
  await progress.over()
  await weir.stop()
  for (const what of await disagreements(weir)) tally.fail(what)
  for (const name of await partialFiles(weir)) tally.fail(`left: .partial/${name}`)
  for (const name of await wrongFiles(weir, offers)) tally.fail(`stored, and wrong: ${name}`)
  return upstreams.reduce((sum, { requests }) => sum + requests.length, 0)
}

/** An upstream is gone from the 20th to the 80th path that arrived at some client. */
function outage(upstream: UpstreamServer | null) {
  let paths = 0
  let change = Promise.resolve()
  return {
    arrived: () => {
      paths += 1
      if (upstream === null) return
      if (paths === 20) change = change.then(upstream.stop)
      if (paths === 80) change = change.then(upstream.start)
    },
    over: () => change,
  }
}

type ClientOptions = {
  readonly url: string
  readonly offers: Offers
  readonly dice: Dice
  readonly tally: Tally
  readonly closures: number
  /** Told of each path. */
  readonly arrived: () => void
}

/** A client that fetches random closures, path by path, and holds each NAR against what it is to be. */
async function walk(options: ClientOptions): Promise<void> {
  const { offers, dice, closures, arrived } = options
  for (let walked = 0; walked < closures; walked += 1) {
    for (const offer of closureOf(dice.pick(offers), offers)) {
      await get(options, offer)
      arrived()
    }
  }
}

/** Nix's tries, and its first pause, which doubles. */
const tries = 5
const pauseMs = 250

/** Fetches a path, and asks again where Weir could not give it or broke off, as Nix does. */
async function get({ url, dice, tally }: ClientOptions, offer: Offer): Promise<void> {
  const hangUp = dice.below(4) === 0 ? { hangUpAfterBytes: 1 + dice.below(offer.nar.length) } : {}
  for (let left = tries - 1; ; left -= 1) {
    const got = await fetchPath(url, offer, hangUp)
    const mayComeYet = got.kind === 'cut' || (got.kind === 'refused' && got.status >= 500)
    if (!mayComeYet || left === 0) {
      if (got.kind === 'cut') tally.fail(`cut: ${offer.narinfo.storePath.baseName}`)
      else judge(got, tally)
      return
    }
    tally.count('tries again')
    await delay(pauseMs * 2 ** (tries - 1 - left))
  }
}

/** A real client that substitutes random closures into an empty store. */
async function substitute(options: ClientOptions, publicKeys: readonly string[]): Promise<void> {
  const { url, offers, dice, tally, closures, arrived } = options
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys })
  for (let done = 0; done < closures; done += 1) {
    await client.wipe()
    const root = dice.pick(offers)
    const { code, stderr } = await client.realise([pathOf(root)], { substituters: [url] })
    if (code === 0) await mustHoldAll(client, closureOf(root, offers))
    else tally.fail(`a command failed: ${stderr}`)
    tally.count('commands')
    arrived()
  }
}
