/** What clients get while nobody can be asked: because the configuration says so, or because every upstream is down. */
import t from 'tap'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { weir as runWeir } from '../cli/run-weir.ts'
import { askMetric, askNarinfo, reloadWeir } from '../lab/ask-weir.ts'
import { makeOffer, pathOf, signedBy } from '../lab/forged-offer.ts'
import { type ForgedUpstream, startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { rawGet } from '../lab/raw-client.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(300_000)
const lab = await prepareLab()
const key = generateSecretKey('one-1')
const publicKey = formatPublicKey(key.publicKey)

const leaves = ['stored-1.0', 'stored-2.0', 'missing-1.0', 'missing-2.0'].map((name) =>
  signedBy(makeOffer({ name }), key),
)
const [stored1, stored2, missing1] = leaves
const root = signedBy(
  makeOffer({ name: 'root-1.0', references: leaves.map(({ narinfo }) => narinfo.storePath) }),
  key,
)
if (stored1 === undefined || stored2 === undefined || missing1 === undefined) {
  throw new Error('there are four leaves')
}

const configOf = ({ url }: ForgedUpstream, extra: Readonly<Record<string, unknown>> = {}) => ({
  upstreams: [{ name: 'one', url, keys: [publicKey] }],
  extra: { timeouts: { connect: '1s', headers: '1s', narinfo: '1s' }, ...extra },
})

/** Asks for paths that nobody has until Weir knows that nobody answers. */
async function untilOffline(weir: WeirProcess): Promise<void> {
  const began = weir.waitForLog('offline.began')
  for (let number = 0; number < 4; number += 1) {
    await askNarinfo(weir, makeOffer({ name: `nobody-has-${number}` }))
  }
  await began
}

/** Two ways for an upstream to be down, and what brings it back. */
const outages: Readonly<Record<string, (upstream: ForgedUpstream) => Promise<() => unknown>>> = {
  'refuses connections': async (upstream) => {
    await upstream.stop()
    return upstream.start
  },
  'takes requests and never answers': async (upstream) => {
    const gate = upstream.hold()
    return () => {
      upstream.faults.clear()
      gate.open()
    }
  },
}

for (const [title, begin] of Object.entries(outages)) {
  t.test(`the only upstream ${title}, with half of a closure stored`, async (t) => {
    await using upstream = await startForgedUpstream(root, ...leaves)
    await using client = await createNixClient({ lab, publicKeys: [publicKey] })
    await using early = await createNixClient({ lab, publicKeys: [publicKey] })
    await using weir = await startWeir({ config: configOf(upstream) })
    const substituters = [weir.url]
    const half = [pathOf(stored1), pathOf(stored2)]
    t.equal((await early.realise(half, { substituters })).code, 0)
    await weir.waitForLog('nar.stored')
    // It knows the narinfos of the whole closure, and has none of its NARs.
    await client.realise([pathOf(root)], { substituters, extraOptions: ['--dry-run'] })

    const end = await begin(upstream)
    await untilOffline(weir)
    const impatient = ['--option', 'download-attempts', '1']
    const failed = await client.realise([pathOf(root)], { substituters, extraOptions: impatient })
    t.not(failed.code, 0)
    t.notOk(await client.has(pathOf(root)))
    t.equal((await client.realise(half, { substituters, extraOptions: impatient })).code, 0)
    for (const offer of [stored1, stored2]) t.equal((await askNarinfo(weir, offer)).status, 200)
    for (const offer of [root, missing1, makeOffer({ name: 'nobody-has' })]) {
      const { status, headers } = await rawGet(
        `${weir.url}/${offer.narinfo.storePath.hash}.narinfo`,
      )
      t.equal(status, 503, `${offer.narinfo.storePath.name}: what cannot be had is not shown`)
      t.ok(Number(headers['retry-after']) > 0)
    }
    t.equal(await askMetric(weir, 'weir_offline'), 1)
    const status = await runWeir('status', '--config', weir.configFile)
    t.match(status.stdout, /^network +offline: every upstream is down/m)

    await end()
    const again = await client.realise([pathOf(root)], { substituters })
    t.equal(again.code, 0, again.stderr)
    await weir.waitForLog('offline.ended')
    t.equal(await askMetric(weir, 'weir_offline'), 0)
    t.equal((await askNarinfo(weir, makeOffer({ name: 'nobody-has' }))).status, 404)
  })
}

t.test('a reload takes Weir offline, and back', async (t) => {
  await using upstream = await startForgedUpstream(root, ...leaves)
  await using client = await createNixClient({ lab, publicKeys: [publicKey] })
  const online = configOf(upstream)
  const offline = configOf(upstream, { network: { mode: 'offline' } })
  await using weir = await startWeir({ config: online })
  const substituters = [weir.url]
  const using = ['--config', weir.configFile]
  t.equal((await client.realise([pathOf(stored1)], { substituters })).code, 0)
  await weir.waitForLog('nar.stored')
  const { narUrl } = await askNarinfo(weir, missing1)

  await reloadWeir(weir, offline)
  await weir.waitForLog('offline.began', ({ why }) => why === 'offline')
  upstream.requests.length = 0
  await client.wipe()
  t.equal((await client.realise([pathOf(stored1)], { substituters })).code, 0)
  t.match(await askNarinfo(weir, missing1), {
    status: 404,
    verdict: 'absent',
    text: 'this path is not stored, and Weir is offline: it asks nobody\n',
  })
  t.equal((await rawGet(narUrl)).status, 404)
  t.equal((await rawGet(narUrl, { headers: { range: 'bytes=1-' } })).status, 404)
  const { hash } = stored1.narinfo.storePath
  t.equal((await rawGet(`${weir.url}/${hash}.ls`)).status, 200)
  t.equal((await rawGet(`${weir.url}/log/${hash}-stored.drv`)).status, 404)
  t.equal((await rawGet(`${weir.url}/${missing1.narinfo.storePath.hash}.ls`)).status, 404)
  t.match((await runWeir('status', ...using)).stdout, /^network +offline: the configuration/m)
  const check = await runWeir('check', ...using)
  t.match([check.code, check.stdout], [0, 'the upstreams are not asked\n'])
  t.equal((await runWeir('pin', pathOf(root), ...using)).code, 1)
  await runWeir('explain', pathOf(missing1), '--live', ...using)
  t.equal(await askMetric(weir, 'weir_offline'), 1)
  t.same(upstream.requests, [], 'nobody was asked')

  await reloadWeir(weir, online)
  t.equal((await client.realise([pathOf(root)], { substituters })).code, 0)
  t.equal(await askMetric(weir, 'weir_offline'), 0)

  await t.test('and it starts offline', async (t) => {
    const { cacheDir, stateDir } = weir
    await weir.stop()
    await using again = await startWeir({ config: offline, cacheDir, stateDir })
    t.ok(again.logs.some(({ event, mode }) => event === 'server.listening' && mode === 'offline'))
    upstream.requests.length = 0
    t.equal((await askNarinfo(again, root)).status, 200)
    t.equal((await askNarinfo(again, makeOffer({ name: 'nobody-has' }))).status, 404)
    t.same(upstream.requests, [])
  })
})

t.test('weir forget has the upstreams asked for what they did not have', async (t) => {
  await using upstream = await startForgedUpstream()
  await using weir = await startWeir({ config: configOf(upstream) })
  const using = ['--config', weir.configFile]
  t.equal((await askNarinfo(weir, root)).status, 404)
  await upstream.put(root)
  upstream.requests.length = 0
  t.equal((await askNarinfo(weir, root)).status, 404)
  t.same(upstream.requests, [])
  t.equal(await askMetric(weir, 'weir_negative_hits_total{upstream="one"}'), 1)
  const { code, stdout } = await runWeir('forget', pathOf(root), ...using)
  const { baseName } = root.narinfo.storePath
  t.strictSame([code, stdout], [0, `${baseName}: forgotten: that it is not at one\n`])
  t.equal((await askNarinfo(weir, root)).status, 200)
  const none = await runWeir('forget', makeOffer({ name: 'x' }).narinfo.storePath.hash, ...using)
  t.match(none.stdout, 'nothing was remembered of it')
  await weir.stop()
  const stopped = await runWeir('forget', pathOf(root), ...using)
  t.strictSame([stopped.code, stopped.stderr], [0, ''])
  t.match(stopped.stdout, 'there is nothing to forget')
})
