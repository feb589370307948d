import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { reloadWeir } from '../lab/ask-weir.ts'
import type { Offer } from '../lab/forged-offer.ts'
import type { UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir, type StartWeirOptions, type WeirProcess } from '../lab/weir-process.ts'
import { narFiles } from './cache-state.ts'
import { fetchPath } from './fetch-path.ts'
import type { Offers } from './made-closure.ts'

/** What differs from the configuration that a client first met. */
export type Changes = {
  readonly port?: number
  readonly maxBytes?: number
  readonly encoding?: NarEncoding
}

/** What `[nar] encoding` may be. */
export type NarEncoding = 'zstd' | 'upstream'

/** What a client's Weir is set in, and the means to change it under the client. */
export type Setting = {
  readonly offers: Offers
  /** One that no client asks for. */
  readonly bystander: Offer
  readonly upstream: UpstreamServer
  readonly config: (changes?: Changes) => Exclude<StartWeirOptions['config'], string>
}

/** Something that happens to a Weir between two requests of a client; returns the Weir that answers then, at the same port. */
export type WeirEvent = (weir: WeirProcess, setting: Setting) => Promise<WeirProcess>

/** Weir is stopped, something is done, and it starts again. */
const again =
  (done: (weir: WeirProcess) => Promise<unknown>): WeirEvent =>
  async (weir, { config }) => {
    await weir.stop()
    await done(weir)
    return startWeir({ ...weir, config: config({ port: weir.port }) })
  }

const restart = again(() => Promise.resolve())

/** Everything that is stored goes, as it does above the limit. */
export const evict: WeirEvent = async (weir, { bystander, config }) => {
  await reloadWeir(weir, config({ port: weir.port, maxBytes: 1 }))
  const before = await narFiles(weir)
  // Each NAR that is stored has the cache swept.
  for (let tries = 0; (await narFiles(weir)).some((name) => before.includes(name)); tries += 1) {
    if (tries === 200) throw new Error('nothing is evicted')
    await fetchPath(weir.url, bystander)
  }
  await reloadWeir(weir, config({ port: weir.port }))
  return weir
}

export const kill: WeirEvent = async (weir, { config }) => {
  await weir.kill()
  return startWeir({ ...weir, config: config({ port: weir.port }) })
}

export const loseCache: WeirEvent = again(({ cacheDir }) => rm(cacheDir, { recursive: true }))

/** The cache and the catalog, the keys and everything else that Weir had. */
export const loseEverything: WeirEvent = again(async ({ cacheDir, stateDir }) => {
  await rm(cacheDir, { recursive: true })
  await rm(stateDir, { recursive: true })
})

/** `[nar] encoding` is changed, and then something more may happen. */
export const under =
  (encoding: NarEncoding, event: WeirEvent = (weir) => Promise.resolve(weir)): WeirEvent =>
  async (weir, setting) => {
    const config = (changes: Changes = {}) => setting.config({ ...changes, encoding })
    const changed = { ...setting, config }
    return event(await restart(weir, changed), changed)
  }

/** All of them, by what they are called after the word "after". */
export const weirEvents: Readonly<Record<string, WeirEvent>> = {
  'an eviction': evict,
  'a restart': restart,
  'a kill': kill,
  'the loss of the catalog': again(async ({ stateDir }) => {
    for (const name of await readdir(stateDir)) {
      if (name.startsWith('catalog')) await rm(join(stateDir, name))
    }
  }),
  'the loss of the cache': loseCache,
  'the loss of cache and state': loseEverything,
}
