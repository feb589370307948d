import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import { formatPublicKey, formatSignature, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric, askNarinfo, askWhy } from '../lab/ask-weir.ts'
import { mustDeliver, mustRefuse } from '../lab/deliveries.ts'
import { changed, makeOffer, pathOf, signedBy, withContent } from '../lab/forged-offer.ts'
import { startForgedUpstream } from '../lab/forged-upstream.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { runCommand } from '../lab/run-command.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { startWeir } from '../lab/weir-process.ts'
import { must, storeDir } from '../nix/fixtures.ts'

t.setTimeout(120_000)
const lab = await prepareLab()
const [key1, key2, key3] = [
  generateSecretKey('builder-1'),
  generateSecretKey('builder-2'),
  generateSecretKey('builder-3'),
]
const texts = [key1, key2, key3].map(({ publicKey }) => formatPublicKey(publicKey))
const [text1 = '', text2 = '', text3 = ''] = texts
const one = await startForgedUpstream()
const two = await startForgedUpstream()
const weir = await startWeir({
  config: {
    upstreams: [
      { name: 'one', url: one.url, keys: [text1, text3] },
      { name: 'two', url: two.url, keys: [text1, text2] },
    ],
    extra: {
      rule: [
        {
          name: 'browsers need two independent builders',
          packages: ['firefox'],
          from: ['one', 'two'],
          agree: 2,
        },
        { name: 'no strife', packages: ['undisputed'], on_divergence: 'refuse' },
      ],
    },
  },
})
// Trusts every builder: that one of them is not enough is Weir's rule alone.
const client = await createNixClient({ lab, publicKeys: texts })
t.teardown(async () => {
  await client[Symbol.asyncDispose]()
  await weir[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  await two[Symbol.asyncDispose]()
})

t.test("one builder's signature, relayed by two upstreams, is one builder", async (t) => {
  const firefox = signedBy(makeOffer({ name: 'firefox-130.0' }), key1)
  await one.put(firefox)
  await two.put(firefox)
  await t.resolves(mustRefuse(client, weir.url, pathOf(firefox)))
  const { status, verdict, text } = await askNarinfo(weir, firefox)
  t.match({ status, verdict }, { status: 404, verdict: 'refused' })
  t.match(text, /one: no-agreement.*; two: no-agreement/)
})

t.test('nor is one upstream that hands on the signatures of two', async (t) => {
  const firefox = signedBy(makeOffer({ name: 'firefox-130.1' }), key1, key3)
  await one.put(firefox)
  await t.resolves(mustRefuse(client, weir.url, pathOf(firefox)))
})

t.test('two builders that made the same: delivered', async (t) => {
  const made = makeOffer({ name: 'firefox-131.0' })
  await one.put(signedBy(made, key1))
  await two.put(signedBy(made, key2))
  await t.resolves(mustDeliver(client, weir.url, [made]))
  // Which of the keys stands for which upstream is found out: two stands for itself only by its second key.
  const crossed = makeOffer({ name: 'firefox-131.1' })
  await one.put(signedBy(crossed, key1))
  await two.put(signedBy(crossed, key1, key2))
  await t.resolves(mustDeliver(client, weir.url, [crossed]))
})

t.test('two builders that differ: refused, and told wherever an operator looks', async (t) => {
  const made = makeOffer({ name: 'firefox-132.0' })
  const other = withContent(made, 'something else')
  const divergences =
    'weir_divergences_total{rule="browsers need two independent builders",agree="wanted"}'
  const before = await askMetric(weir, divergences)
  await one.put(signedBy(made, key1))
  await two.put(signedBy(other, key2))
  await t.resolves(mustRefuse(client, weir.url, pathOf(made)))
  const { status, text } = await askNarinfo(weir, made)
  t.equal(status, 404)
  t.match(text, /one: no-agreement.*; two: no-agreement/)

  const { hash } = made.narinfo.storePath
  const record = await weir.waitForLog('claims.diverged', (each) => each['hash'] === hash)
  t.match(record['claims'], [/^one says .*-firefox-132.0 is sha256:/, /^two says /])
  t.ok((await askMetric(weir, divergences)) > before)
  const { events } = await askWhy(weir, made)
  const divergence = must(events.find(({ kind }) => kind === 'divergence'))
  t.match(divergence.detail, /one says .* is sha256:.*; two says .* is sha256:/)

  const live = await askWhy(weir, made, { isLive: true })
  t.match(live, { verdict: 'refused', rule: { agree: 2 } })
  t.match(live.reason, /one: no-agreement.*; two: no-agreement/)
  const hashes = live.upstreams.flatMap(({ claim }) => claim?.narHash ?? [])
  t.equal(new Set(hashes).size, 2, 'with what each of them says')
})

t.test(
  'a rule that stands no divergence refuses both; without one the preferred is served',
  async (t) => {
    for (const name of ['undisputed-1.0', 'anything-1.0']) {
      const made = signedBy(makeOffer({ name }), key1)
      await one.put(made)
      await two.put(signedBy(withContent(changed(made, { signatures: [] }), 'other'), key2))
      await t.resolves(
        name.startsWith('undisputed')
          ? mustRefuse(client, weir.url, pathOf(made))
          : mustDeliver(client, weir.url, [made]),
        name,
      )
    }
  },
)

t.test(
  'junk under a trusted name is not handed on, and hurts no client that trusts it',
  async (t) => {
    const signed = signedBy(makeOffer({ name: 'hello-1.0' }), key1)
    const junk = { keyName: 'builder-1', bytes: new Uint8Array(64).fill(7) }
    const text = formatNarinfo(
      changed(signed, { signatures: [junk, ...signed.narinfo.signatures] }).narinfo,
      storeDir,
    )
    await one.putText(
      signed,
      `${text}Sig: builder-1:AAAA\nSig: builder-2:\nSig: builder-3\nSig: stranger-1:${'A'.repeat(86)}==\n`,
    )
    const answer = await askNarinfo(weir, signed)
    t.same(answer.signers, ['builder-1', must(answer.signers[1])], "the good one, and Weir's own")
    t.notOk(answer.text.includes(formatSignature(junk)))
    t.notOk(texts.some((key) => key.startsWith(`${answer.signers[1] ?? ''}:`)))
    await t.resolves(mustDeliver(client, weir.url, [signed]))
  },
)

t.test('two keys under one name: Weir does not start, and says where', async (t) => {
  const impostor = formatPublicKey(generateSecretKey('builder-1').publicKey)
  const dir = await mkdtemp(join(tmpdir(), 'weir-config-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const file = join(dir, 'weir.toml')
  const toml = weirConfig({
    ...{ cacheDir: join(dir, 'cache'), stateDir: join(dir, 'state') },
    upstreams: [
      { name: 'one', url: one.url, keys: [text1] },
      { name: 'two', url: two.url, keys: [impostor] },
    ],
  })
  await writeFile(file, toml)
  const { code, stderr } = await runCommand(process.execPath, [
    'src/main.ts',
    'serve',
    '--config',
    file,
  ])
  t.equal(code, 1)
  const line = toml.split('\n').findIndex((each) => each.includes(impostor)) + 1
  t.match(stderr, `${file}, line ${line}, upstream[1].keys[0]`)
  t.match(stderr, 'builder-1')
})
