import { mustHoldAll } from './must-hold-all.ts'
import { type Offer, pathOf } from '../lab/forged-offer.ts'
import { createGate } from '../lab/gate.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { everything, nars } from './fault-case.ts'
import type { FaultWorld } from './fault-world.ts'
import { fewWords } from './few-words.ts'

export type PullNetworkOptions = {
  readonly world: FaultWorld
  /** More of Weir's settings. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** More of the client's. */
  readonly clientOptions?: readonly string[]
}

/** What came of it: what the client said without the network; whatever was not as it must be. */
export type PulledNetwork = { readonly why: string; readonly wrong: readonly string[] }

/** The network goes in the middle of a closure that is half stored, and is back later; from then on nothing is answered. */
export async function pullNetwork(options: PullNetworkOptions): Promise<PulledNetwork> {
  const { world, extra = {}, clientOptions = [] } = options
  const { keys, roots, closures } = world
  const wrong: string[] = []
  await using one = await startUpstream({ root: roots.failing })
  await using two = await startUpstream({ root: roots.good })
  const servers = [one, two]
  const upstreams = servers.map(({ url }, index) => ({ name: `upstream-${index + 1}`, url, keys }))
  await using weir = await startWeir({
    config: { upstreams, extra: { nar: { verify_first: '400kB' }, ...extra } },
    timeoutMs: 120_000,
  })
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys: keys })
  const half = closures.first.slice(0, closures.first.length >> 1)
  const get = (offers: readonly Offer[], more: readonly string[] = []) =>
    client.realise(offers.map(pathOf), {
      substituters: [weir.url],
      extraOptions: [...clientOptions, ...more],
    })
  if ((await get(half)).code !== 0) wrong.push('half of it did not come with the network there')
  await client.forgetPaths()

  // The narinfos still come: it is a NAR that finds the network gone.
  const mend = pull(servers)
  const without = await get(closures.first, ['--keep-going'])
  if (without.code === 0) wrong.push('the command succeeded without the network')
  const why = fewWords(without.stderr)
  if (why === '') wrong.push('the client says nothing')
  await client.wipe()
  const stored = await get(half)
  if (stored.code !== 0) wrong.push(`what is stored did not come: ${fewWords(stored.stderr)}`)
  else await mustHoldAll(client, half)

  mend()
  const again = await get(closures.first)
  if (again.code !== 0) wrong.push(`with the network back: ${fewWords(again.stderr)}`)
  else await mustHoldAll(client, closures.first)
  return { why, wrong }
}

/** Has all upstreams answer nothing any more from the first NAR on; what is returned ends that. */
function pull(servers: readonly UpstreamServer[]): () => void {
  const gate = createGate()
  const isPulled = { now: false }
  for (const { faults } of servers) {
    const hang = { kind: 'delayUntil', until: gate } as const
    const onNar = () => {
      isPulled.now = true
      return hang
    }
    faults.add({ path: nars, action: onNar })
    faults.add({ path: everything, action: () => (isPulled.now ? hang : null) })
  }
  return () => {
    for (const { faults } of servers) faults.clear()
    gate.open()
  }
}
