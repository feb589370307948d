import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { spawnWeir } from '../cli/run-weir.ts'
import { askMetric } from '../lab/ask-weir.ts'
import { makeOffer, noise, type Offer, signedBy } from '../lab/forged-offer.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { disagreements, narFiles, partialFiles } from '../soak/cache-state.ts'
import { type Fetched, fetchPath } from '../soak/fetch-path.ts'
import { fill, mountSmallDisk, tryFullDisk } from '../soak/full-disk.ts'
import { makeCache } from '../soak/made-cache.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)
const disk = await mountSmallDisk(12_000_000)
const skip = typeof disk === 'string' ? disk : false

t.test(
  'a disk that fills: every path is served all the same, and kept again once there is room',
  { skip },
  async (t) => {
    if (typeof disk === 'string') return
    await using small = disk
    const tally = createTally()
    await tryFullDisk({ seed: 1, encoding: 'xz', paths: 12, narBytes: 1_500_000, tally }, small)
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)

const largeBytes = 12_000_000
const verifyFirst = 1_000_000
const slowClients = 24

t.test(
  'a disk without any room, state folder included: every client is served, and it heals by itself',
  { skip },
  async (t) => {
    const mounted = await mountSmallDisk(8_000_000)
    if (typeof mounted === 'string') return
    await using small = mounted
    const key = generateSecretKey('made-1')
    const offer = (name: string, bytes: number): Offer =>
      signedBy(makeOffer({ name, content: noise(name, bytes) }), key)
    const little = offer('little', 100_000)
    const large = offer('large', largeBytes)
    await using cache = await makeCache([little, large], 'none')
    await using upstream = await startUpstream({ root: cache.root })
    const [cacheDir, stateDir] = [join(small.dir, 'cache'), join(small.dir, 'state')]
    await mkdir(cacheDir)
    const upstreams = [{ name: 'made', url: upstream.url, keys: [formatPublicKey(key.publicKey)] }]
    const config = { upstreams, extra: { nar: { verify_first: verifyFirst } } }
    await using weir = await startWeir({ cacheDir, stateDir, config })
    const filler = join(small.dir, 'of-somebody-else')
    await fill(filler, Infinity)

    t.match(await fetchPath(weir.url, little), { kind: 'right' })
    // The first one may be cut where the disk is found full, and goes on.
    t.match(await fetchPath(weir.url, large, { hangUpAfterBytes: 2_000_000 }), { kind: 'right' })
    t.match(await fetchPath(weir.url, little), { kind: 'right' })
    t.equal(await askMetric(weir, 'weir_cache_storing'), 0)
    t.ok((await askMetric(weir, 'weir_store_failures_total')) > 0)
    const status = await spawnWeir('status', '--config', weir.configFile)
    t.match(status.stdout, /new NARs +are handed on and not kept/)

    await slowly(t, weir, large)
    t.same(await partialFiles(weir), [])
    t.same(await narFiles(weir), [])

    await rm(filler)
    const healed = weir.waitForLog('cache.storing')
    t.match(await fetchPath(weir.url, little), { kind: 'right' })
    await healed
    t.match(await fetchPath(weir.url, little), { kind: 'right' })
    t.equal(await askMetric(weir, 'weir_cache_storing'), 1)
    t.equal(weir.logs.filter(({ event }) => event === 'cache.streaming').length, 1)
    t.equal(await weir.stop(), 0)
    t.equal((await narFiles(weir)).length, 1)
    t.same(await partialFiles(weir), [])
    t.same(await disagreements(weir), [])
  },
)

/** Many clients read a large NAR each at its own time: what is in memory of it is bounded. */
async function slowly(t: Test, weir: WeirProcess, large: Offer): Promise<void> {
  const before = await weir.rssBytes()
  const open = Promise.withResolvers<undefined>()
  const waiting = Array.from({ length: slowClients }, () => Promise.withResolvers<undefined>())
  const fetches: Promise<Fetched>[] = waiting.map(({ resolve }) =>
    fetchPath(weir.url, large, {
      pace: (bytes) => {
        if (bytes < 1000) return undefined // a narinfo
        resolve(undefined)
        return open.promise
      },
    }),
  )
  await Promise.all(waiting.map(({ promise }) => promise))
  const grownBytes = (await weir.rssBytes()) - before
  t.comment(`${Math.round(grownBytes / 1e6)} MB for ${slowClients} slow clients`)
  t.ok(grownBytes < (slowClients * largeBytes) / 2)
  open.resolve(undefined)
  for (const fetched of await Promise.all(fetches)) t.match(fetched, { kind: 'right' })
}
