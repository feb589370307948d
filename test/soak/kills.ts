import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { reloadWeir } from '../lab/ask-weir.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir, type StartWeirOptions, type WeirProcess } from '../lab/weir-process.ts'
import {
  disagreements,
  narFiles,
  partialFiles,
  readCatalog,
  type Stored,
  wrongFiles,
} from './cache-state.ts'
import { createDice, type Dice } from './dice.ts'
import { fetchNar, fetchPath } from './fetch-path.ts'
import { makeCache } from './made-cache.ts'
import { makeClosure, type Offers } from './made-closure.ts'
import type { Tally } from './tally.ts'
import { judge, wander } from './wander.ts'

export type KillsOptions = {
  readonly seed: number
  readonly kills: number
  readonly clients: number
  readonly paths: number
  readonly tally: Tally
}

type Setting = {
  readonly upstream: UpstreamServer
  readonly offers: Offers
  readonly dice: Dice
  readonly tally: Tally
  readonly clients: number
  readonly folders: { readonly cacheDir: string; readonly stateDir: string }
  /** Weir's configuration, with this limit to its cache. */
  readonly config: (maxBytes: number) => Exclude<StartWeirOptions['config'], string>
  readonly smallBytes: number
}

const plenty = 1 << 30

/** Kills Weir again and again while clients fetch through it, and looks at what it comes back with. */
export async function tryKills({
  seed,
  kills,
  clients,
  paths,
  tally,
}: KillsOptions): Promise<void> {
  const dice = createDice(seed)
  const key = generateSecretKey('made-1')
  const offers = makeClosure({ dice, key, paths, minBytes: 4000, maxBytes: 1_500_000 })
  const total = offers.reduce((sum, { nar }) => sum + nar.length, 0)
  await using cache = await makeCache(offers, dice.pick(['xz', 'zstd', 'none']))
  await using upstream = await startUpstream({ root: cache.root })
  const upstreams = [{ name: 'made', url: upstream.url, keys: [formatPublicKey(key.publicKey)] }]
  const config = (maxBytes: number) => ({
    upstreams,
    // Some are released as they come, so that resumes and kills meet them half way.
    extra: { cache: { max_size: maxBytes }, nar: { verify_first: 200_000 } },
  })
  const dir = await mkdtemp(join(tmpdir(), 'weir-kills-'))
  const folders = { cacheDir: join(dir, 'cache'), stateDir: join(dir, 'state') }
  const smallBytes = Math.round(total / 6)
  const setting = { upstream, offers, dice, tally, clients, folders, config, smallBytes }
  try {
    for (let kill = 0; kill < kills; kill += 1) await liveAndDie(setting)
    await settleDown(setting)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** One life of Weir: what it has from the one before is looked at, then it works, then it is killed. */
async function liveAndDie(setting: Setting): Promise<void> {
  const { upstream, dice, tally, folders, config, smallBytes } = setting
  if (dice.below(5) === 0) await dieAtStart(setting)
  const before = existsSync(join(folders.stateDir, 'catalog.sqlite'))
    ? await readCatalog(folders)
    : []
  await upstream.stop()
  // With room for all, what is recorded is not evicted before it was looked at.
  await using weir = await startWeir({ ...folders, config: config(plenty) })
  for (const name of await partialFiles(folders)) tally.fail(`left: .partial/${name}`)
  for (const stored of before) await mustBeServed(setting, weir, stored)
  tally.count('files that await adoption', (await disagreements(folders)).length)
  await upstream.start()
  await reloadWeir(weir, config(smallBytes))
  await workUntilKilled(setting, weir)
  tally.count('kills')
}

/** Throws nothing: what was recorded and is not served from disk is a failure of the trial. */
async function mustBeServed(
  { offers, tally, folders }: Setting,
  weir: WeirProcess,
  stored: Stored,
): Promise<void> {
  const offer = offers.find(({ narinfo }) => narinfo.storePath.hash === stored.hash)
  if (offer === undefined || !(await narFiles(folders)).includes(stored.file)) {
    tally.fail(`recorded, and lost: ${stored.hash}`)
    return
  }
  const narinfo = await rawGet(`${weir.url}/${stored.hash}.narinfo`)
  if (narinfo.status !== 200) tally.fail(`recorded, and its narinfo has ${narinfo.status}`)
  const got = await fetchNar(`${weir.url}/nar/${stored.file}`, offer)
  if (got.kind === 'right') tally.count('NARs kept over a kill')
  else tally.fail(`recorded, and not served: ${JSON.stringify(got)}`)
}

/** Lets clients fetch until a moment that the dice name, and ends Weir there. */
async function workUntilKilled(setting: Setting, weir: WeirProcess): Promise<void> {
  const { dice, clients } = setting
  const killing = new AbortController()
  const kill = () => {
    killing.abort()
    return weir.kill()
  }
  const moment = dice.pick(['piece', 'nar.stored', 'nar.evicted'])
  let left = 1 + dice.below(moment === 'piece' ? 200 : 15)
  const ended = moment === 'piece' ? null : nthLog(weir, moment, left).then(kill)
  const heard = () => {
    left -= 1
    if (moment === 'piece' && left === 0) void kill()
  }
  const { signal } = new AbortController()
  const mayBreak = () => killing.signal.aborted
  const lives = Array.from({ length: clients }, () =>
    wander({ ...setting, dice: dice.split(), url: weir.url, signal, mayBreak, heard }),
  )
  await Promise.all([...lives, ended])
}

/** Resolves with the record of an event that is the `count`th of its kind. */
function nthLog(weir: WeirProcess, event: string, count: number): Promise<unknown> {
  return weir.waitForLog(
    event,
    () => weir.logs.filter((record) => record.event === event).length >= count,
  )
}

/** A kill before Weir listens, unless it was quicker: what it sweeps and opens at the start is cut short. */
async function dieAtStart({ dice, tally, folders, config, smallBytes }: Setting): Promise<void> {
  const timeoutMs = 50 + dice.below(1000)
  try {
    const weir = await startWeir({ ...folders, config: config(smallBytes), timeoutMs })
    await weir[Symbol.asyncDispose]()
    tally.count('kills once it listened')
  } catch {
    tally.count('kills before it listened')
  }
}

/** In the end every path is had, and files and catalog agree. */
async function settleDown({ upstream, offers, tally, folders, config }: Setting): Promise<void> {
  await using weir = await startWeir({ ...folders, config: config(plenty) })
  for (const offer of offers) {
    const got = await fetchPath(weir.url, offer)
    if (got.kind === 'cut') tally.fail(`cut in the end: ${offer.narinfo.storePath.baseName}`)
    else judge(got, tally)
  }
  await weir.stop()
  await upstream.stop()
  for (const what of await disagreements(folders)) tally.fail(what)
  for (const name of await partialFiles(folders)) tally.fail(`left: .partial/${name}`)
  for (const name of await wrongFiles(folders, offers)) tally.fail(`stored, and wrong: ${name}`)
}
