import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { quickcheck } from '../lab/quickcheck.ts'
import { runCommand } from '../lab/run-command.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
const roots = lab.smallRoots

/** The configuration with an encoding, on a port where one is given. */
const configOf = (url: string, encoding: 'zstd' | 'upstream', port = '0') => ({
  upstreams: [{ name: 'lab', url, keys: [lab.publicKey] }],
  extra: { nar: { encoding }, server: { listen: `127.0.0.1:${port}` } },
})

/** How the names of the NARs in a cache folder end. */
async function endings(cacheDir: string): Promise<readonly string[]> {
  const names = await readdir(join(cacheDir, 'nar'))
  return [...new Set(names.map((name) => name.slice(name.indexOf('.'))))]
}

/** Empties the client's store; what it knows of narinfos it keeps. */
async function emptyStore({ storeDir }: NixClient): Promise<void> {
  await runCommand('chmod', ['-R', 'u+w', storeDir])
  await rm(storeDir, { recursive: true, force: true })
}

const ending = {
  none: '.nar',
  xz: '.nar.xz',
  zstd: '.nar.zst',
  br: '.nar.br',
  gzip: '.nar.gz',
  bzip2: '.nar.bz2',
}

for (const encoding of ['xz', 'zstd', 'none', 'bzip2'] as const) {
  t.test(`NARs in ${encoding} pass as they are, and are kept so: a binary cache`, async (t) => {
    await using upstream = await startUpstream({ root: lab.caches[encoding] })
    await using client = await createNixClient({ lab })
    await using weir = await startWeir({ config: configOf(upstream.url, 'upstream') })
    await t.resolves(quickcheck(client, weir.url), 'cold')
    await upstream.stop()
    await t.resolves(quickcheck(client, weir.url), 'from disk')
    t.equal(await weir.stop(), 0)
    t.same(await endings(weir.cacheDir), [ending[encoding]])
    await client.wipe()
    const copied = await client.copyFrom(`file://${weir.cacheDir}`, roots)
    t.equal(copied.code, 0, copied.stderr)
    t.equal((await client.verify(roots)).code, 0)
  })
}

t.test(
  'a cache goes over to zstd and back, and clients with old narinfos notice nothing',
  async (t) => {
    await using upstream = await startUpstream({ root: lab.caches.xz })
    await using old = await createNixClient({ lab })
    await using fresh = await createNixClient({ lab })
    await using weir = await startWeir({ config: configOf(upstream.url, 'upstream') })
    await t.resolves(quickcheck(old, weir.url), 'as the upstream has it')
    await weir.stop()
    await upstream.stop()
    const { port } = new URL(weir.url)

    await using zstd = await startWeir({ ...weir, config: configOf(upstream.url, 'zstd', port) })
    await emptyStore(old)
    const early = await old.realise(roots, { substituters: [zstd.url] })
    t.equal(early.code, 0, 'old narinfos, before zstd was made')
    await t.resolves(quickcheck(fresh, zstd.url), 'in zstd')
    await emptyStore(old)
    const late = await old.realise(roots, { substituters: [zstd.url] })
    t.equal(late.code, 0, 'old narinfos, with zstd in the place of what they name')
    t.equal((await old.verify(roots)).code, 0)
    t.equal(await zstd.stop(), 0)
    t.same(await endings(weir.cacheDir), ['.nar.zst'])

    await using back = await startWeir({
      ...weir,
      config: configOf(upstream.url, 'upstream', port),
    })
    await t.resolves(quickcheck(fresh, back.url), 'what is in zstd stays so')
    await emptyStore(old)
    t.equal((await old.realise(roots, { substituters: [back.url] })).code, 0, 'old narinfos again')
  },
)
