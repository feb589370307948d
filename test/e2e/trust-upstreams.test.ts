import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric, askNarinfo, askPublicKey, askWhy, reloadWeir } from '../lab/ask-weir.ts'
import { mustDeliver, mustRefuse } from '../lab/deliveries.ts'
import {
  changed,
  makeOffer,
  type Offer,
  pathOf,
  signedBy,
  withContent,
} from '../lab/forged-offer.ts'
import { startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const key1 = generateSecretKey('one-1')
const key2 = generateSecretKey('two-1')
const publicKeys = [key1, key2].map(({ publicKey }) => formatPublicKey(publicKey))
const [text1 = '', text2 = ''] = publicKeys
const one = await startForgedUpstream()
const two = await startForgedUpstream()
const client = await createNixClient({ lab, publicKeys })
t.teardown(async () => {
  await client[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  await two[Symbol.asyncDispose]()
})

/** A path that both upstreams have, each with a content of its own. */
async function contested(name: string): Promise<{ readonly ones: Offer; readonly twos: Offer }> {
  const ones = signedBy(makeOffer({ name, content: 'by one' }), key1)
  const twos = signedBy(withContent(changed(ones, { signatures: [] }), 'by two'), key2)
  await one.put(ones)
  await two.put(twos)
  return { ones, twos }
}

const asksFor = ({ narinfo }: Offer) => new RegExp(narinfo.storePath.hash)

t.test('the preferred upstream wins, however slow it is and whoever is fast', async (t) => {
  await using weir = await startWeir({
    config: {
      upstreams: [
        { name: 'one', url: one.url, keys: [text1] },
        { name: 'two', url: two.url, keys: [text2] },
      ],
      extra: { rule: [{ name: 'turned round', packages: ['turned'], from: ['two', 'one'] }] },
    },
  })
  const cases = [
    { name: 'preferred-1.0', slow: one, fast: 'two', wins: 'ones' },
    { name: 'turned-1.0', slow: two, fast: 'one', wins: 'twos' },
  ] as const
  for (const { name, slow, fast, wins } of cases) {
    const both = await contested(name)
    const gate = slow.hold({ path: asksFor(both.ones) })
    const delivered = mustDeliver(client, weir.url, [both[wins]])
    await gate.reached()
    await weir.waitForLog(
      'claim.trusted',
      ({ upstream, path }) => upstream === fast && path === pathOf(both.ones),
    )
    gate.open()
    await t.resolves(delivered, name)
  }
})

t.test('a dead upstream holds nobody up once it is known to be dead', async (t) => {
  await using dead = await startForgedUpstream()
  await using silent = await startForgedUpstream()
  await dead.stop()
  silent.hold()
  const dying = [
    { name: 'dead', server: dead },
    { name: 'silent', server: silent },
  ] as const
  await using weir = await startWeir({
    config: {
      upstreams: [
        ...dying.map(({ name, server }) => ({ name, url: server.url, keys: [text1] })),
        { name: 'two', url: two.url, keys: [text2] },
      ],
      extra: { timeouts: { connect: '1s', headers: '1s', narinfo: '1s' } },
    },
  })
  const offers = Array.from({ length: 60 }, (_, index) =>
    signedBy(makeOffer({ name: `living-${index}.0` }), key2),
  )
  await two.put(...offers)
  for (const offer of offers.slice(0, 3)) {
    t.equal((await askNarinfo(weir, offer)).status, 200, 'until then the others answer, later')
  }
  for (const { name } of dying) {
    await weir.waitForLog('upstream.down', ({ upstream }) => upstream === name)
  }
  const asked = silent.requests.length
  t.equal(asked, 3)
  for (const offer of offers.slice(3)) {
    if ((await askNarinfo(weir, offer)).status !== 200) t.fail(`${pathOf(offer)}: not answered`)
  }
  // Once in a while one request finds out whether it has come back.
  const more = silent.requests.length - asked
  t.ok(more <= 5, `57 paths later it was asked ${more} times`)
  await t.resolves(mustDeliver(client, weir.url, offers.slice(0, 20)))
  const missing = await askNarinfo(weir, makeOffer({ name: 'missing-1.0' }))
  t.match(missing, { status: 503, verdict: 'unknown' }, 'what nobody else has is not absent')
})

t.test('report only: delivered, said so, counted, and not signed by Weir', async (t) => {
  const config = {
    upstreams: [
      { name: 'one', url: one.url, keys: [text1] },
      { name: 'two', url: two.url, keys: [text2] },
    ],
    extra: {
      policy: { enforce: false },
      rule: [{ name: 'the root of trust', packages: ['@critical'], from: ['one'] }],
      block: [{ package: 'xz', reason: 'CVE-2024-3094' }],
    },
  }
  const nix = signedBy(makeOffer({ name: 'nix-2.18.1' }), key2)
  const allowed = signedBy(makeOffer({ name: 'allowed-1.0' }), key2)
  const blocked = signedBy(makeOffer({ name: 'xz-5.6.1' }), key2)
  const unsigned = makeOffer({ name: 'unsigned-1.0' })
  await two.put(nix, allowed, blocked, unsigned)
  await using weir = await startWeir({ config })
  const publicKey = await askPublicKey(weir)
  const [own = ''] = publicKey.split(':')
  await using believer = await createNixClient({ lab, publicKeys: [publicKey] })

  const reported = { status: 200, wouldRefuse: 'upstream-not-allowed' }
  t.match(await askNarinfo(weir, nix), reported)
  await t.resolves(mustDeliver(client, weir.url, [nix]), 'to who trusts its upstream')
  await t.resolves(
    mustRefuse(believer, weir.url, pathOf(nix)),
    'to who trusts Weir alone it is not',
  )
  await weir.waitForLog('nar.stored', ({ nar: name }) => asksFor(nix).test(String(name)))
  const again = await askNarinfo(weir, nix)
  t.match(again, reported, 'from the store as well')
  t.same(again.signers, ['two-1'])
  const onDisk = join(weir.cacheDir, `${nix.narinfo.storePath.hash}.narinfo`)
  t.notOk((await readFile(onDisk, 'utf8')).includes(`Sig: ${own}:`))
  const metric = 'weir_would_refuse_total{reason="upstream-not-allowed"}'
  t.ok((await askMetric(weir, metric)) >= 3)
  t.match(await askWhy(weir, nix), {
    wouldRefuse: 'upstream-not-allowed',
    events: [{ kind: 'would-refuse' }],
  })

  const good = await askNarinfo(weir, allowed)
  t.equal(good.wouldRefuse, undefined)
  t.same(good.signers, ['two-1', own], 'what the policy trusts is signed')
  await t.resolves(mustDeliver(believer, weir.url, [allowed]))
  await t.resolves(mustRefuse(client, weir.url, pathOf(blocked)), 'a recall holds all the same')
  await t.resolves(mustRefuse(client, weir.url, pathOf(unsigned)), 'and so do signatures')

  await reloadWeir(weir, { ...config, extra: { ...config.extra, policy: { enforce: true } } })
  await client.wipe()
  await t.resolves(mustRefuse(client, weir.url, pathOf(nix)), 'enforced, it is refused')
})

t.test('no other upstream learns the names that a private one holds', async (t) => {
  const secret = signedBy(makeOffer({ name: 'acme-secret-1.0' }), key1)
  const later = signedBy(makeOffer({ name: 'acme-later-1.0' }), key1)
  const open = signedBy(makeOffer({ name: 'open-1.0' }), key2)
  await one.put(secret, later)
  await two.put(open)
  const configOf = (optional: boolean) => ({
    upstreams: [
      { name: 'open', url: two.url, keys: [text2] },
      { name: 'acme', url: one.url, keys: [text1], private: true, optional },
    ],
  })
  await using weir = await startWeir({ config: configOf(false) })
  two.requests.length = 0
  const asked = () => two.requests.map(({ path }) => path)
  await client.wipe()
  await t.resolves(mustDeliver(client, weir.url, [secret]))
  t.same(asked(), [], 'what the private one has, the open one is not asked for')
  await askWhy(weir, secret, { isLive: true })
  t.same(asked(), [], 'nor for an explanation')
  await t.resolves(mustDeliver(client, weir.url, [open]))
  t.same(asked(), [`/${open.narinfo.storePath.hash}.narinfo`, `/${open.narinfo.url}`])

  two.requests.length = 0
  await one.stop()
  const unknown = await askNarinfo(weir, later)
  t.match(unknown, { status: 503, verdict: 'unknown' }, 'down, it may hold any name')
  t.match(unknown.text, 'acme: connect')
  for (let failures = 0; failures < 4; failures += 1) await askNarinfo(weir, later)
  await weir.waitForLog('upstream.down', ({ upstream }) => upstream === 'acme')
  t.equal((await askNarinfo(weir, later)).status, 503, 'and so when it is known to be down')
  const { hash } = later.narinfo.storePath
  const guessed = `${weir.url}/nar/${hash}-${later.narinfo.url.slice('nar/'.length)}.zst`
  t.equal((await rawGet(guessed)).status, 503)
  await client.wipe()
  await t.resolves(mustRefuse(client, weir.url, pathOf(later)))
  await t.resolves(mustDeliver(client, weir.url, [secret]), 'what is stored is served')
  t.same(asked(), [], 'the open one saw nothing of all this')

  await reloadWeir(weir, configOf(true))
  t.equal((await askNarinfo(weir, later)).status, 404, 'optional, it counts as not having it')
  t.same(asked(), [`/${hash}.narinfo`])
  await one.start()
})
