import { Agent } from 'node:http'
import { median } from '../../bench/median.ts'
import { startRelay } from '../../bench/relay.ts'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { mustHoldAll } from '../faults/must-hold-all.ts'
import { type Offer, pathOf } from '../lab/forged-offer.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { createDice } from './dice.ts'
import { makeCache } from './made-cache.ts'
import { makeClosure } from './made-closure.ts'
import type { Tally } from './tally.ts'

export type DistanceOptions = {
  readonly seed: number
  readonly upstreams: number
  /** In the closure. */
  readonly paths: number
  /** A round trip to each upstream, in milliseconds. */
  readonly roundTripMs: number
  /** Whether times are looked at. */
  readonly isTimed: boolean
  readonly tally: Tally
}

/** How much longer than straight from an upstream the median of cold narinfos may take, and how long that of warm ones. */
const maxOverStraightMs = 15
const maxWarmMs = 1
/** Who else keeps the machine busy makes most rounds slow: the best one counts. */
const warmRounds = 3

/**
 * A closure that only the last of some distant upstreams has: its narinfos are asked of all of them at once, and of each but once, whoever
 * asks again.
 */
export async function tryDistance(options: DistanceOptions): Promise<void> {
  const { seed, paths, roundTripMs, isTimed, tally } = options
  const key = generateSecretKey('made-1')
  const keys = [formatPublicKey(key.publicKey)]
  const made = { dice: createDice(seed), key, minBytes: 1000, maxBytes: 20_000 }
  const offers = makeClosure({ ...made, paths })
  const others = makeClosure({ ...made, paths: 20 })
  await using cache = await makeCache([...offers, ...others], 'zstd')
  await using resources = new AsyncDisposableStack()
  const servers: UpstreamServer[] = []
  const upstreams: { name: string; url: string; keys: readonly string[] }[] = []
  for (let index = 1; index <= options.upstreams; index += 1) {
    const isLast = index === options.upstreams
    const server = resources.use(await startUpstream({ root: cache.root, only: () => isLast }))
    const link = { bitsPerSecond: 1e9, oneWayMs: roundTripMs / 2, targetPort: server.port }
    const relay = resources.use(await startRelay(link))
    servers.push(server)
    upstreams.push({ name: `far-${index}`, url: `http://127.0.0.1:${relay.port}`, keys })
  }
  await using weir = await startWeir({ config: { upstreams }, timeoutMs: 120_000 })
  const straightMs = median(await timeNarinfos(upstreams.at(-1)?.url ?? '', others, tally))
  const coldMs = median(await timeNarinfos(weir.url, others, tally))
  for (const server of servers) server.requests.splice(0)

  await using client = await createNixClient({ lab: await prepareLab(), publicKeys: keys })
  const began = performance.now()
  const realised = await client.realise(offers.map(pathOf), { substituters: [weir.url] })
  tally.count('ms for the closure', Math.round(performance.now() - began))
  if (realised.code !== 0) tally.fail(`the command failed: ${realised.stderr}`)
  else await mustHoldAll(client, offers)
  const narinfos = requestsFor(servers, /\.narinfo$/)
  tally.count('requests for narinfos', narinfos)
  tally.count('requests for NARs', requestsFor(servers, /^\/nar\//))
  if (narinfos > paths * options.upstreams) tally.fail(`${narinfos} requests for narinfos`)

  const rounds: number[] = []
  for (let round = 0; round < warmRounds; round += 1) {
    rounds.push(median(await timeNarinfos(weir.url, offers, tally)))
  }
  const more = requestsFor(servers, /\.narinfo$/) - narinfos
  if (more > 0) tally.fail(`a second client made Weir ask ${more} times more`)
  const warmMs = Math.min(...rounds)
  tally.count('µs for a narinfo straight from an upstream', Math.round(straightMs * 1000))
  tally.count('µs for a cold one', Math.round(coldMs * 1000))
  tally.count('µs for a warm one', Math.round(warmMs * 1000))
  if (!isTimed) return
  if (coldMs > straightMs + maxOverStraightMs) tally.fail(`a cold narinfo took ${coldMs} ms`)
  if (warmMs > maxWarmMs) tally.fail(`a warm narinfo took ${warmMs} ms`)
}

/** How long each path's narinfo takes, one after the other on one connection, in milliseconds; the first one is not counted. */
async function timeNarinfos(
  url: string,
  offers: readonly Offer[],
  tally: Tally,
): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times: number[] = []
  for (const { narinfo } of offers) {
    const { hash } = narinfo.storePath
    const { status, endMs } = await rawGet(`${url}/${hash}.narinfo`, { agent })
    if (status !== 200) tally.fail(`${hash}.narinfo: status ${status}`)
    times.push(endMs)
  }
  agent.destroy()
  return times.slice(1)
}

function requestsFor(servers: readonly UpstreamServer[], path: RegExp): number {
  const requests = servers.flatMap((server) => server.requests)
  return requests.filter((request) => request.path.search(path) >= 0).length
}
