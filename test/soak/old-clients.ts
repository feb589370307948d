import { setTimeout } from 'node:timers/promises'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { mustHold } from '../lab/deliveries.ts'
import { makeOffer, noise, type Offer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { createGate } from '../lab/gate.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { narFiles } from './cache-state.ts'
import { createDice } from './dice.ts'
import { fetchNar, fetchPath, narUrlOf } from './fetch-path.ts'
import { type Encoding, makeCache } from './made-cache.ts'
import { makeClosure } from './made-closure.ts'
import type { Tally } from './tally.ts'
import { closureOf } from './wander.ts'
import {
  type Changes,
  evict,
  kill,
  loseCache,
  type NarEncoding,
  type Setting,
  under,
  type WeirEvent,
  weirEvents,
} from './weir-events.ts'

export type OldClientsOptions = {
  readonly seed: number
  /** The upstreams' encodings. */
  readonly encodings: readonly Encoding[]
  /** What happens to Weir; everything unless told. */
  readonly events?: Readonly<Record<string, WeirEvent>>
  /** Changes of `[nar] encoding` that are tried too. */
  readonly changes?: readonly (readonly [NarEncoding, NarEncoding])[]
  readonly tally: Tally
}

/** Clients that remember narinfos, or have a part of a NAR, from before something happened to Weir. */
export async function tryOldClients(options: OldClientsOptions): Promise<void> {
  const { seed, encodings, events = weirEvents, changes = [], tally } = options
  for (const encoding of encodings) {
    await using made = await makeEverything(seed, encoding)
    for (const [title, event] of Object.entries(events)) {
      await withWeir(made, async (setting, weir) => {
        await remember(setting, weir, made.keys, { title: `${title}, ${encoding}`, event, tally })
      })
    }
    for (const [from, to] of changes) {
      for (const event of [under(to), under(to, evict)]) {
        const title = `a change from ${from} to ${to}, ${encoding}`
        await withWeir({ ...made, encoding: from }, async (setting, weir) => {
          await remember(setting, weir, made.keys, { title, event, tally })
        })
      }
    }
    await withWeir(made, async (setting, weir) => {
      await resumeAfterKill(setting, weir, tally)
    })
    for (const event of [evict, loseCache]) {
      await withWeir(made, async (setting, weir) => {
        await resumeOffline(setting, weir, event, tally)
      })
    }
  }
}

type Case = { readonly title: string; readonly event: WeirEvent; readonly tally: Tally }

/**
 * A real client that knows the narinfos gets the NARs all the same, and without the upstream once they are stored; a raw one that has a
 * part of one gets the rest of it.
 */
async function remember(
  setting: Setting,
  weir: WeirProcess,
  publicKeys: readonly string[],
  { title, event, tally }: Case,
): Promise<void> {
  const { upstream, offers } = setting
  await using client = await createNixClient({ lab: await prepareLab(), publicKeys })
  const get = async (when: string) => {
    const why = await substitute(setting, client, weir.url)
    if (why !== null) tally.fail(`after ${title}, ${when}: ${why}`)
    tally.count('commands')
  }
  await get('before it')
  await using resources = new AsyncDisposableStack()
  let changed = weir
  await resume(tally, offers[0], weir, async () => {
    changed = resources.use(await event(weir, setting))
  })
  const earlier = new Set(changed.logs)
  await get('online')
  const asked = changed.logs.filter((line) => !earlier.has(line) && /\.narinfo"/.test(line.text))
  if (asked.length > 0) tally.fail(`${title}: narinfos were asked for again, which proves nothing`)
  await upstream.stop()
  await get('offline')
}

/** Has the client substitute the last offer's closure anew, with the narinfos that it remembers; returns what went wrong. */
async function substitute(
  { offers }: Setting,
  client: NixClient,
  url: string,
): Promise<string | null> {
  const root = offers.at(-1) ?? offers[0]
  await client.forgetPaths()
  const { code, stderr } = await client.realise([pathOf(root)], { substituters: [url] })
  if (code !== 0) return stderr
  await mustHold(client, closureOf(root, offers))
  return null
}

/** Gets a part of a NAR, and the rest of it after something happened: that, or 404, is right. */
async function resume(
  tally: Tally,
  offer: Offer,
  weir: WeirProcess,
  pause: () => Promise<void>,
): Promise<void> {
  const url = await narUrlOf(weir.url, offer)
  const got = await fetchNar(url, offer, { hangUpAfterBytes: 10_000, pause })
  if (got.kind === 'right') tally.count('resumes')
  else if (got.kind === 'refused' && got.what === 'resume' && got.status === 404)
    tally.count('resumes refused')
  else tally.fail(`a resume: ${JSON.stringify(got)}`)
}

/** Weir is killed while the NAR is on its way in, and a client has the first of it. */
async function resumeAfterKill(setting: Setting, weir: WeirProcess, tally: Tally): Promise<void> {
  const { upstream, offers } = setting
  const gate = createGate()
  const bytes = offers[0].nar.length >> 1
  upstream.faults.add({
    ...{ path: /^\/nar\//, times: 1 },
    action: { kind: 'gateAfterBytes', bytes, gate },
  })
  await using resources = new AsyncDisposableStack()
  await resume(tally, offers[0], weir, async () => {
    await gate.reached()
    resources.use(await kill(weir, setting))
    gate.open()
  })
}

/** What a client had a part of is gone, and so are the upstreams: the rest is 404, and a later command works. */
async function resumeOffline(
  setting: Setting,
  weir: WeirProcess,
  event: WeirEvent,
  tally: Tally,
): Promise<void> {
  const { upstream, offers } = setting
  await using resources = new AsyncDisposableStack()
  let changed = weir
  await resume(tally, offers[0], weir, async () => {
    // What is still on its way in when the upstream goes would rightly be cut.
    while ((await narFiles(weir)).length === 0) await setTimeout(10)
    changed = resources.use(await event(weir, setting))
    await upstream.stop()
  })
  await upstream.start()
  const later = await fetchPath(changed.url, offers[0])
  if (later.kind !== 'right') tally.fail(`later: ${JSON.stringify(later)}`)
}

/** What the upstreams have, made once for all that happens. */
type Made = AsyncDisposable &
  Pick<Setting, 'offers' | 'bystander'> & {
    readonly root: string
    readonly keys: readonly string[]
    /** Weir's own setting to begin with. */
    readonly encoding?: NarEncoding
  }

async function makeEverything(seed: number, encoding: Encoding): Promise<Made> {
  const key = generateSecretKey('made-1')
  const small = { paths: 5, minBytes: 20_000, maxBytes: 200_000 }
  const large = signedBy(makeOffer({ name: 'large', content: noise('large', 4_000_000) }), key)
  const offers = [large, ...makeClosure({ dice: createDice(seed), key, ...small })] as const
  const bystander = signedBy(makeOffer({ name: 'other', content: noise('other', 5000) }), key)
  const cache = await makeCache([...offers, bystander], encoding)
  return { ...cache, offers, bystander, keys: [formatPublicKey(key.publicKey)] }
}

async function withWeir(
  { root, keys, offers, bystander, encoding: first = 'zstd' }: Made,
  act: (setting: Setting, weir: WeirProcess) => Promise<void>,
): Promise<void> {
  await using upstream = await startUpstream({ root })
  const config = ({ port = 0, maxBytes = 1 << 30, encoding = first }: Changes = {}) => ({
    upstreams: [{ name: 'made', url: upstream.url, keys }],
    extra: {
      server: { listen: `127.0.0.1:${port}` },
      cache: { max_size: maxBytes },
      // The large one is handed out as it comes.
      nar: { verify_first: '1MB', encoding },
    },
  })
  await using weir = await startWeir({ config: config() })
  await act({ offers, bystander, upstream, config }, weir)
}
