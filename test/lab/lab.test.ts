import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { encodings } from './copy-caches.ts'
import { createGate } from './gate.ts'
import { prepareLab } from './lab-caches.ts'
import { createNixClient } from './nix-client.ts'
import { quickcheck } from './quickcheck.ts'
import { startUpstream } from './upstream-server.ts'

// The first run on a machine builds the lab.
t.setTimeout(300_000)
const lab = await prepareLab()
const hashPart = (path: string) => path.slice('/nix/store/'.length).slice(0, 32)
const { compressible, incompressible, top, contentAddressed } = lab.paths

t.test('preparing the lab again finds the same one', async (t) => {
  const again = await Promise.all([prepareLab(), prepareLab()])
  for (const { dir, paths } of again) t.same({ dir, paths }, { dir: lab.dir, paths: lab.paths })
  t.throws(() => lab.narSha256('/nix/store/00000000000000000000000000000000-other'))
})

for (const encoding of encodings) {
  t.test(`a real client gets every small path, and the 40 MB one, in ${encoding}`, async (t) => {
    await using client = await createNixClient({ lab })
    await using upstream = await startUpstream({ root: lab.caches[encoding] })
    await quickcheck(client, upstream.url, [...lab.smallRoots, compressible])
    t.ok((await client.sigs(top)).some((signature) => signature.startsWith(lab.keyName)))
    t.ok(upstream.requests.every((request) => request.state === 'complete'))
  })
}

t.test('a real client gets the 100 MB path in xz, zstd and none', async () => {
  await using client = await createNixClient({ lab })
  for (const encoding of ['xz', 'zstd', 'none'] as const) {
    await using upstream = await startUpstream({ root: lab.caches[encoding] })
    await quickcheck(client, upstream.url, [incompressible])
  }
})

t.test('the caches have listings, realisations, and in xz a log and derivations', async (t) => {
  const names = await readdir(lab.caches.xz)
  t.ok(names.includes(`${hashPart(top)}.ls`))
  t.equal((await readdir(join(lab.caches.xz, 'realisations'))).length, 2)
  t.match(await readdir(join(lab.caches.xz, 'log')), [/-top\.drv$/])
})

t.test('quickcheck refuses a key that the client does not know', async (t) => {
  const publicKeys = ['other-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=']
  await using client = await createNixClient({ lab, publicKeys })
  await using upstream = await startUpstream({ root: lab.caches.zstd })
  await t.rejects(quickcheck(client, upstream.url, [top]), /substitution from .* failed/)
  t.notOk(await client.has(top))
  // A content-addressed path needs no key, but what it refers to does.
  await t.rejects(quickcheck(client, upstream.url, [contentAddressed]), /-dep/)
  await quickcheck(client, upstream.url, [lab.paths.addTree])
})

t.test('quickcheck notices an upstream that corrupts', async (t) => {
  await using client = await createNixClient({ lab })
  await using upstream = await startUpstream({ root: lab.caches.none })
  upstream.faults.add({ path: /\/nar\//, action: { kind: 'corrupt', at: 'middle' } })
  await t.rejects(quickcheck(client, upstream.url, [top]))
})

t.test('a client can be held in the middle of a transfer, and killed there', async (t) => {
  await using client = await createNixClient({ lab })
  await using upstream = await startUpstream({ root: lab.caches.none })
  const gate = createGate()
  const action = { kind: 'gateAfterBytes', bytes: 50_000_000, gate } as const
  await client.realise([lab.paths.dep], { substituters: [upstream.url] })
  upstream.faults.add({ path: /\/nar\//, action })
  const killer = new AbortController()
  const { signal } = killer
  const realised = client.realise([incompressible], { substituters: [upstream.url], signal })
  await gate.reached()
  killer.abort()
  t.equal((await realised).code, null)
  await upstream.waitFor((request) => request.state === 'aborted')
  t.notOk(await client.has(incompressible))
})

t.test(
  'a client takes paths by `nix copy`, and remembers absences until told to forget',
  async (t) => {
    await using client = await createNixClient({ lab })
    await using upstream = await startUpstream({
      root: lab.caches.zstd,
      only: (path) => !path.startsWith(hashPart(top)),
    })
    const substituters = [upstream.url]
    const asked = () =>
      upstream.requests.splice(0).filter(({ path }) => path.includes(hashPart(top))).length
    t.not((await client.realise([top], { substituters })).code, 0)
    t.equal(asked(), 1)
    await client.realise([top], { substituters })
    t.equal(asked(), 0)
    await client.forgetNarinfos()
    await client.realise([top], { substituters })
    t.equal(asked(), 1)
    t.match(await client.copyFrom(upstream.url, [lab.paths.wide]), { code: 0 })
    t.ok(await client.has(lab.paths.wide))
    t.match(await client.run(['nix', 'store', 'ping', '--store', upstream.url]), { code: 0 })
  },
)
