import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import type { RecallReport } from '../../src/admin/recall.ts'
import { askControl } from '../../src/control/control-client.ts'
import type { Status } from '../../src/control/control-server.ts'
import { formatHash } from '../../src/nix/hash.ts'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askNarinfo, reloadWeir } from '../lab/ask-weir.ts'
import { mustDeliver, mustRefuse } from '../lab/deliveries.ts'
import { makeOffer, noise, type Offer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { startForgedUpstream } from '../lab/forged-upstream.ts'
import { createGate } from '../lab/gate.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const keys = {
  official: generateSecretKey('official-1'),
  other: generateSecretKey('other-1'),
  old: generateSecretKey('other-0'),
}
const publicKeys = Object.values(keys).map(({ publicKey }) => formatPublicKey(publicKey))
const [officialText = '', otherText = '', oldText = ''] = publicKeys
const official = await startForgedUpstream()
const other = await startForgedUpstream()
const client = await createNixClient({ lab, publicKeys })
t.teardown(async () => {
  await client[Symbol.asyncDispose]()
  await official[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
})

type Change = {
  readonly rules?: readonly object[]
  readonly blocks?: readonly object[]
  readonly otherKeys?: readonly string[]
}

/** A configuration; stored files without a record may be vouched for by whoever may vouch for them with one. */
function configOf({ rules = [], blocks = [], otherKeys = [otherText, oldText] }: Change) {
  return {
    upstreams: [
      { name: 'official', url: official.url, keys: [officialText] },
      { name: 'other', url: other.url, keys: otherKeys },
    ],
    extra: {
      rule: [...rules, { name: 'never heard of', packages: ['unheard-of'] }],
      block: [...blocks],
      import: { keys: [officialText, ...otherKeys] },
      // What is asked for is what these tests ask for.
      nar: { verify_first: '1MB', read_ahead: 0 },
    },
  }
}

const kept = signedBy(makeOffer({ name: 'kept-1.0' }), keys.other)
const tightened = signedBy(makeOffer({ name: 'tightened-1.0' }), keys.other)
const unkeyed = signedBy(makeOffer({ name: 'unkeyed-1.0' }), keys.old)
const byPackage = signedBy(makeOffer({ name: 'xz-5.6.1-bin' }), keys.other)
const byHash = signedBy(makeOffer({ name: 'hashed-1.0' }), keys.other)
const byNarHash = signedBy(makeOffer({ name: 'infected-1.0' }), keys.other)
const offers = [kept, tightened, unkeyed, byPackage, byHash, byNarHash]
await other.put(...offers)

const changes: readonly (Change & { readonly title: string; readonly refused: Offer })[] = [
  {
    title: 'a rule is tightened',
    refused: tightened,
    rules: [{ name: 'tightened', packages: ['tightened'], from: ['official'] }],
  },
  { title: 'a key is removed', refused: unkeyed, otherKeys: [otherText] },
  {
    title: 'a package is blocked',
    refused: byPackage,
    blocks: [{ package: 'xz', versions: ['5.6.0', '5.6.1'], reason: 'CVE-2024-3094' }],
  },
  {
    title: 'a hash is blocked',
    refused: byHash,
    blocks: [{ hash: byHash.narinfo.storePath.hash, reason: 'a test' }],
  },
  {
    title: 'a NarHash is blocked',
    refused: byNarHash,
    blocks: [{ nar_hash: formatHash(byNarHash.narinfo.narHash), reason: 'a test' }],
  },
]
const all: Change = {
  rules: changes.flatMap(({ rules = [] }) => rules),
  blocks: changes.flatMap(({ blocks = [] }) => blocks),
  otherKeys: [otherText],
}

/** Every way to ask for a path, its NAR by the URL that was handed out before. */
async function statuses(weir: WeirProcess, offer: Offer): Promise<readonly number[]> {
  const { narHash, storePath } = offer.narinfo
  const nar = `${weir.url}/nar/${storePath.hash}-${formatHash(narHash).slice('sha256:'.length)}.nar.zst`
  const answers = await Promise.all([
    askNarinfo(weir, offer),
    askNarinfo(weir, offer, { method: 'HEAD' }),
    rawGet(nar),
    rawGet(nar, { method: 'HEAD' }),
    rawGet(nar, { headers: { range: 'bytes=10-' } }),
  ])
  return answers.map(({ status }) => status)
}

const served = [200, 200, 200, 200, 206]
const isNothing = (answers: readonly number[]) =>
  answers.every((status) => status === 404 || status === 503)

async function withServed(act: (weir: WeirProcess) => Promise<void>): Promise<void> {
  await using weir = await startWeir({ config: configOf({}) })
  await client.wipe()
  await mustDeliver(client, weir.url, offers)
  for (const { narinfo } of offers) {
    const { hash } = narinfo.storePath
    await weir.waitForLog('nar.stored', ({ nar }) => String(nar).startsWith(hash))
  }
  await act(weir)
}

t.test('what a change of a running policy refuses is served no more', async (t) => {
  await withServed(async (weir) => {
    for (const change of changes) {
      const { title, refused } = change
      t.match(await reloadWeir(weir, configOf(change)), { isPolicyChanged: true, needRestart: [] })
      t.same(await statuses(weir, refused), [404, 404, 404, 404, 404], `${title}: refused`)
      t.equal((await askNarinfo(weir, refused)).verdict, 'refused')
      await client.wipe()
      await t.resolves(mustRefuse(client, weir.url, pathOf(refused)))
      t.same(await statuses(weir, kept), served, 'what it does not refuse is served')
      await reloadWeir(weir, configOf({}))
      t.same(await statuses(weir, refused), served, 'and all of it, once it is taken back')
    }
    await Promise.all([other.stop(), official.stop()])
    for (const change of changes) {
      const { title, refused } = change
      await reloadWeir(weir, configOf(change))
      t.ok(isNothing(await statuses(weir, refused)), `${title}, without its upstreams`)
      t.same(await statuses(weir, kept), served)
      await reloadWeir(weir, configOf({}))
      t.same(await statuses(weir, refused), served, 'taken back, it is served from disk')
    }
    await Promise.all([other.start(), official.start()])
  })
})

t.test('nor after a restart, with and without the catalog, online and offline', async (t) => {
  await withServed(async (weir) => {
    await weir.stop()
    for (const isCatalogLost of [false, true]) {
      for (const isOffline of [true, false]) {
        const title = `${isCatalogLost ? 'without' : 'with'} the catalog, ${isOffline ? 'off' : 'on'}line`
        if (isCatalogLost) await loseCatalog(weir)
        if (isOffline) await Promise.all([other.stop(), official.stop()])
        await using again = await startWeir({ ...weir, config: configOf(all) })
        for (const { refused, title: change } of changes) {
          t.ok(isNothing(await statuses(again, refused)), `${title}: ${change}`)
        }
        t.same(await statuses(again, kept), served, `${title}: what is not refused is served`)
        await again.stop()
        if (isOffline) await Promise.all([other.start(), official.start()])
      }
    }
  })
})

t.test('a connection outlives a reload, and so does a transfer that stays trusted', async (t) => {
  const big = signedBy(makeOffer({ name: 'big-1.0', content: noise('big', 8_000_000) }), keys.other)
  await other.put(big)
  await using weir = await startWeir({ config: configOf({}) })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const socketsOf = () => Object.values(agent.freeSockets).flatMap((each) => each ?? [])
  t.equal((await askNarinfo(weir, tightened, { agent })).status, 200)
  const before = socketsOf()
  t.equal(before.length, 1)

  const gate = createGate()
  other.faults.add({
    path: /^\/nar\//,
    times: 1,
    action: { kind: 'gateAfterBytes', bytes: 4_000_000, gate },
  })
  const running = rawGet((await askNarinfo(weir, big)).narUrl)
  await gate.reached()
  await reloadWeir(weir, configOf(all))
  t.equal((await askNarinfo(weir, tightened, { agent })).status, 404)
  t.same(
    socketsOf().map((socket) => socket === before[0]),
    [true],
    'asked over the same connection',
  )
  agent.destroy()
  gate.open()
  t.match(await running, { status: 200, complete: true })
})

t.test('a configuration that is wrong is refused, and the old one goes on', async (t) => {
  await using weir = await startWeir({ config: configOf(all) })
  const epoch = async () => {
    const status = await askControl<Status>(weir.stateDir, { method: 'GET', path: '/status' })
    return status?.policy.epoch
  }
  const before = await epoch()
  const wrong = {
    'not TOML': '[[rule',
    'a rule from nobody': configOf({ rules: [{ name: 'a', packages: ['a'], from: ['nobody'] }] }),
    'another key of a name': configOf({
      otherKeys: [formatPublicKey(generateSecretKey('official-1').publicKey)],
    }),
  }
  for (const [title, config] of Object.entries(wrong)) {
    const { problems } = await reloadWeir(weir, config, 'settings.refused')
    t.match(problems, [new RegExp(`${weir.configFile}, line `)], title)
    t.equal(await epoch(), before)
    t.equal((await askNarinfo(weir, tightened)).status, 404, 'what it refuses stays refused')
    t.equal((await askNarinfo(weir, kept)).status, 200)
  }
})

const recallOf = (block: string) => ({ method: 'POST', path: '/recall', body: block }) as const

t.test('a recall: refused from the next request on, purged, and who has it is told', async (t) => {
  const xz = byPackage.narinfo.storePath
  await withServed(async (weir) => {
    const files = () => readdir(weir.cacheDir, { recursive: true })
    const ofXz = async () => (await files()).filter((name) => name.includes(xz.hash))
    t.ok((await ofXz()).length >= 2, 'its narinfo and its NAR are on disk')
    const block = '[[block]]\npackage = "xz"\nversions = ["5.6.1"]\nreason = "CVE-2024-3094"\n'
    const report = await askControl<RecallReport>(weir.stateDir, recallOf(block))
    t.match(report, { isNew: true, purgedNars: 1 })
    t.match(report?.served, [{ path: xz.baseName, client: '127.0.0.1', upstream: 'other' }])
    t.same(await statuses(weir, byPackage), [404, 404, 404, 404, 404])
    const { text, verdict } = await askNarinfo(weir, byPackage)
    t.equal(verdict, 'refused')
    t.match(text, 'other: blocked')
    t.same(await ofXz(), [])
    t.same(await statuses(weir, kept), served)
    await client.wipe()
    await t.resolves(mustRefuse(client, weir.url, pathOf(byPackage)))

    await weir.stop()
    await loseCatalog(weir)
    await using again = await startWeir({ ...weir, config: configOf({}) })
    t.equal((await askNarinfo(again, byPackage)).status, 404, 'a restart does not undo it')
    const lifted = await askControl(again.stateDir, { ...recallOf(block), path: '/lift' })
    t.same(lifted, { isLifted: true })
    await t.resolves(mustDeliver(client, again.url, [byPackage]), 'an operator does')
  })
})

t.test('a recall cuts who is reading: from a transfer, and from the store', async (t) => {
  const bytes = 24_000_000
  const content = noise('recalled', bytes)
  const big = signedBy(makeOffer({ name: 'recalled-1.0', content }), keys.other)
  const stored = signedBy(makeOffer({ name: 'recalled-2.0', content }), keys.other)
  await other.put(big, stored)
  await using weir = await startWeir({ config: configOf({}) })
  await client.wipe()
  await mustDeliver(client, weir.url, [stored])
  const { hash } = stored.narinfo.storePath
  await weir.waitForLog('nar.stored', ({ nar }) => String(nar).startsWith(hash))

  const gate = createGate()
  const action = { kind: 'gateAfterBytes', bytes: bytes / 2, gate } as const
  other.faults.add({ path: /^\/nar\//, times: 1, action })
  const urls = [(await askNarinfo(weir, big)).narUrl, (await askNarinfo(weir, stored)).narUrl]
  const paused = createGate()
  const readers = urls.map((url) => rawGet(url, { pace: () => paused.pass() }))
  await paused.reached(2)
  await gate.reached()
  const block = '[[block]]\npackage = "recalled"\nreason = "a test"\n'
  const report = await askControl<RecallReport>(weir.stateDir, recallOf(block))
  paused.open()
  for (const reader of await Promise.all(readers)) {
    t.match(reader, { status: 200, complete: false })
    t.ok(reader.length < bytes)
  }
  await other.waitFor(({ path, state }) => path.startsWith('/nar/') && state === 'aborted')
  gate.open()
  await weir.waitForLog('transfer.refused')
  t.equal(report?.purgedNars, 1)
  t.equal(report?.served.length, 2, 'who began to read it may have it')
  t.same(await readdir(join(weir.cacheDir, 'nar')).catch(() => []), [], 'neither is kept')
  for (const url of urls) {
    t.equal((await rawGet(url)).status, 404)
    t.equal((await rawGet(url, { headers: { range: 'bytes=1000-' } })).status, 404)
  }
  await client.wipe()
  await t.resolves(mustRefuse(client, weir.url, pathOf(big)))
})

async function loseCatalog({ stateDir }: WeirProcess): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (name.startsWith('catalog')) await rm(join(stateDir, name))
  }
  if (existsSync(join(stateDir, 'catalog.sqlite'))) throw new Error('the catalog is still there')
}
