import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { quickcheck } from '../lab/quickcheck.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
const roots = lab.smallRoots

/** What is kept is zstd whatever it came in: the rest of the way is tried for one encoding that is made, and one that is kept as it came. */
for (const encoding of ['none', 'bzip2'] as const) {
  t.test(`a closure in ${encoding}`, async (t) => {
    await using upstream = await startUpstream({ root: lab.caches[encoding] })
    await using client = await createNixClient({ lab })
    const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
    await using weir = await startWeir({ config })
    await t.resolves(quickcheck(client, weir.url))
  })
}

for (const encoding of ['xz', 'zstd'] as const) {
  t.test(`a closure in ${encoding}: cold, without its upstream, and after a restart`, async (t) => {
    await using upstream = await startUpstream({ root: lab.caches[encoding] })
    await using client = await createNixClient({ lab })
    const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
    await using weir = await startWeir({ config })
    await t.resolves(quickcheck(client, weir.url), 'cold')
    await upstream.stop()
    await t.resolves(quickcheck(client, weir.url), 'the upstream stopped: served from disk')
    t.equal(await weir.stop(), 0, 'SIGTERM ends it well')
    await using again = await startWeir({ ...weir, config })
    await t.resolves(quickcheck(client, again.url), 'restarted, the upstream still stopped')
  })
}

t.test('two upstreams of which the first has half of the paths', async (t) => {
  const half = new Set(
    (await readdir(lab.caches.xz)).filter(
      (name) => /^[0-9a-f]/.test(name) && name.endsWith('.narinfo'),
    ),
  )
  await using first = await startUpstream({
    root: lab.caches.xz,
    only: (path) => !path.endsWith('.narinfo') || half.has(path),
  })
  await using second = await startUpstream({ root: lab.caches.zstd })
  await using client = await createNixClient({ lab })
  await using weir = await startWeir({
    config: {
      upstreams: [
        { name: 'first', url: first.url, keys: [lab.publicKey] },
        { name: 'second', url: second.url, keys: [lab.publicKey] },
      ],
    },
  })
  await t.resolves(quickcheck(client, weir.url))
  const nars = (server: typeof first) =>
    server.requests.filter(({ path }) => path.startsWith('/nar/')).length
  t.ok(nars(first) > 0 && nars(second) > 0, 'both gave NARs')
})

t.test('a first upstream that answers 500 to everything', async (t) => {
  await using broken = await startUpstream({
    root: lab.caches.xz,
    faults: [{ path: /^/, action: { kind: 'status', status: 500 } }],
  })
  await using good = await startUpstream({ root: lab.caches.xz })
  await using client = await createNixClient({ lab })
  await using weir = await startWeir({
    config: {
      upstreams: [
        { name: 'broken', url: broken.url, keys: [lab.publicKey] },
        { name: 'good', url: good.url, keys: [lab.publicKey] },
      ],
    },
  })
  await t.resolves(quickcheck(client, weir.url), 'what the second has is served')
  const missing = await fetch(`${weir.url}/00000000000000000000000000000000.narinfo`)
  t.equal(missing.status, 503, 'what nobody else has is unknown, not absent')
  t.equal(missing.headers.get('x-weir-verdict'), 'unknown')
  t.ok(Number(missing.headers.get('retry-after')) > 0)
  // After three failures it is not asked at once, and that is said.
  t.match(await missing.text(), /broken: (status, status 500|breaker-open, )/)
})

t.test('an optional upstream that is down counts as one without the path', async (t) => {
  await using good = await startUpstream({ root: lab.caches.xz })
  await using weir = await startWeir({
    config: {
      upstreams: [
        { name: 'down', url: 'http://127.0.0.1:1', keys: [lab.publicKey], optional: true },
        { name: 'good', url: good.url, keys: [lab.publicKey] },
      ],
    },
  })
  const missing = await fetch(`${weir.url}/00000000000000000000000000000000.narinfo`)
  t.equal(missing.status, 404)
  t.equal(missing.headers.get('x-weir-verdict'), 'absent')
})

t.test("the cache folder is a binary cache, verified against Weir's own key", async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await using weir = await startWeir({
    config: { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] },
  })
  const publicKey = (await (await fetch(`${weir.url}/public-key`)).text()).trim()
  await using through = await createNixClient({ lab })
  await quickcheck(through, weir.url)
  await weir.stop()
  const narinfos = (await readdir(weir.cacheDir)).filter((name) => name.endsWith('.narinfo'))
  for (const name of narinfos) {
    const text = await readFile(join(weir.cacheDir, name), 'utf8')
    if (!text.includes(`\nSig: ${publicKey.split(':')[0] ?? ''}:`)) t.fail(`${name} is not signed`)
  }
  await using client = await createNixClient({ lab, publicKeys: [publicKey] })
  const copied = await client.copyFrom(`file://${weir.cacheDir}`, roots)
  t.equal(copied.code, 0, copied.stderr)
  t.equal((await client.verify(roots)).code, 0)
  for (const path of roots) t.equal(await client.narSha256(path), lab.narSha256(path))
})

for (const mode of ['add', 'replace', 'keep'] as const) {
  t.test(`signing mode ${mode}: the client trusts and gets what it promises`, async (t) => {
    await using upstream = await startUpstream({ root: lab.caches.xz })
    await using weir = await startWeir({
      config: {
        upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }],
        extra: { signing: { mode } },
      },
    })
    const publicKey = (await (await fetch(`${weir.url}/public-key`)).text()).trim()
    const [own = ''] = publicKey.split(':')
    await using client = await createNixClient({
      lab,
      publicKeys: [mode === 'keep' ? lab.publicKey : publicKey],
    })
    await t.resolves(quickcheck(client, weir.url))
    const names = (await client.sigs(lab.paths.top)).map((sig) => sig.split(':')[0])
    const promised = { add: [lab.keyName, own], replace: [own], keep: [lab.keyName] }[mode]
    t.same(names.sort(), promised.sort())
  })
}

t.test(
  'the catalog is lost: what is stored is taken up again, and not fetched again',
  async (t) => {
    await using upstream = await startUpstream({ root: lab.caches.xz })
    await using client = await createNixClient({ lab })
    const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
    await using weir = await startWeir({ config })
    await quickcheck(client, weir.url)
    await weir.stop()
    for (const file of await readdir(weir.stateDir)) {
      if (file.startsWith('catalog')) await rm(join(weir.stateDir, file))
    }
    upstream.requests.length = 0
    await using again = await startWeir({ ...weir, config })
    await t.resolves(quickcheck(client, again.url))
    t.same(
      upstream.requests.filter(({ path }) => path.startsWith('/nar/')),
      [],
    )
  },
)

t.test(
  'a warm client asks for a NAR without its narinfo, after the cache was emptied',
  async (t) => {
    await using upstream = await startUpstream({ root: lab.caches.xz })
    const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
    await using weir = await startWeir({ config })
    const narinfo = await (await fetch(`${weir.url}/${hashOf(lab.paths.dep)}.narinfo`)).text()
    const url = /^URL: (.*)$/m.exec(narinfo)?.[1] ?? ''
    await weir.stop()
    await rm(weir.cacheDir, { recursive: true })
    await rm(weir.stateDir, { recursive: true })
    await using again = await startWeir({ ...weir, config })
    const nar = await fetch(`${again.url}/${url}`)
    t.equal(nar.status, 200)
    t.equal(nar.headers.get('content-length'), String((await nar.arrayBuffer()).byteLength))
  },
)

function hashOf(path: string): string {
  return path.slice('/nix/store/'.length, '/nix/store/'.length + 32)
}
