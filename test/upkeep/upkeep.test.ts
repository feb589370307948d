import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { workFolder } from '../fakes/work-folder.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { startWeir } from '../lab/weir-process.ts'
import { spawnWeir, weir } from '../cli/run-weir.ts'

t.setTimeout(300_000)
const lab = await prepareLab()
const upstream = await startUpstream({ root: lab.caches.xz })
t.teardown(() => upstream.close())
const root = lab.paths.top

/** Folders with the closure of `top` in them, and a configuration for them. */
async function filled(t: Test) {
  const dir = workFolder(t)
  const [cacheDir, stateDir] = [join(dir, 'cache'), join(dir, 'state')]
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  const config = weirConfig({ cacheDir, stateDir, upstreams })
  const configFile = join(dir, 'weir.toml')
  await writeFile(configFile, config)
  await using running = await startWeir({ config })
  await using client = await createNixClient({ lab })
  const { code, stderr } = await client.realise([root], { substituters: [running.url] })
  t.equal(code, 0, stderr)
  t.equal(await running.stop(), 0)
  const nars = await readdir(join(cacheDir, 'nar'))
  const loseCatalog = async (): Promise<void> => {
    for (const file of await readdir(stateDir)) {
      if (file.startsWith('catalog')) await rm(join(stateDir, file))
    }
  }
  return { cacheDir, stateDir, config, using: ['--config', configFile], nars, loseCatalog }
}

/** What a command prints; it must end with this status. */
async function printed(t: Test, code: number, ...args: readonly string[]): Promise<string> {
  const ended = await weir(...args)
  t.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`)
  return ended.stdout
}

const narOf = (nars: readonly string[], path: string): string => {
  const nar = nars.find((name) => name.startsWith(basename(path).slice(0, 32)))
  if (nar === undefined) throw new Error(`${path} is not stored`)
  return nar
}

t.test('what is stored is listed, counted, verified and removed without a Weir', async (t) => {
  const { cacheDir, using, nars } = await filled(t)
  const count = nars.length

  const list = (await printed(t, 0, 'ls', ...using)).trimEnd().split('\n')
  t.equal(list.length, count)
  const paths = list.map((line) => line.split('  ').at(-1) ?? '')
  t.strictSame(paths, paths.toSorted())
  t.ok(paths.includes(basename(root)))
  const json = (await printed(t, 0, 'ls', 'top', '--json', ...using)).trimEnd()
  t.match(JSON.parse(json), {
    path: basename(root),
    upstream: 'lab',
    compression: 'zstd',
    narBytes: 6856,
  })
  t.match(
    await printed(t, 0, 'ls', root, '--long', ...using),
    /^ +\S+ \S+ +6\.7 KiB {2}zstd {3}\S+Z {2}\S+Z {2}lab +\S+-top\n$/,
  )
  t.equal(await printed(t, 0, 'ls', 'nothing-*', ...using), '')

  const stats: unknown = JSON.parse(await printed(t, 0, 'stats', '--json', '--top', '1', ...using))
  t.match(stats, {
    nars: count,
    upstreams: [{ name: 'lab', nars: count }],
    packages: { length: 1 },
    packageCount: Number,
  })
  t.match(
    await printed(t, 0, 'stats', ...using),
    new RegExp(`^NARs +${count}\\n[^]*\\nlab +${count} `),
  )

  t.match(
    await printed(t, 0, 'verify', ...using),
    new RegExp(`^${count} NARs verified, .*: all sound\\n$`),
  )
  const none = await weir('verify', 'nothing-*', ...using)
  t.strictSame([none.code, none.stderr], [1, 'weir: nothing that is stored matches\n'])

  const all = await printed(t, 0, 'gc', '--to', '0', ...using)
  t.match(all, new RegExp(`^removed ${count} NARs, .*; left: 0 NARs, 0 B of 20.0 GiB\\n$`))
  t.strictSame(await readdir(join(cacheDir, 'nar')), [])
})

t.test('verify puts aside what is wrong, and it is fetched again', async (t) => {
  const { cacheDir, config, using, nars } = await filled(t)
  const [top, dep] = [narOf(nars, root), narOf(nars, lab.paths.dep)]
  const file = (nar: string) => join(cacheDir, 'nar', nar)
  const bytes = await readFile(file(top))
  bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 1
  await writeFile(file(top), bytes)

  const alone = await spawnWeir('verify', ...using)
  t.equal(alone.code, 1)
  t.match(
    alone.stdout,
    `${basename(root)}: its file is another one than was recorded; put aside as quarantine/${top}\n`,
  )
  t.match(alone.stdout, `NARs verified, `)
  t.match(alone.stdout, ': 1 wrong\n')
  t.ok((await readFile(join(cacheDir, 'quarantine', top))).equals(bytes))
  t.match(
    await readFile(join(cacheDir, 'quarantine', `${top}.txt`), 'utf8'),
    `${basename(root)}: file-hash-mismatch`,
  )

  await using running = await startWeir({ config })
  await truncate(file(dep), 10)
  await writeFile(join(cacheDir, 'nar', 'what.txt'), '')
  const beside = await spawnWeir('verify', '--rate', '1GiB', ...using)
  t.equal(beside.code, 1)
  t.match(
    beside.stdout,
    `${basename(lab.paths.dep)}: its file has another size than was recorded; put aside`,
  )
  t.match(beside.stdout, `files that are not of the cache, or were put aside: 5\n`)
  t.match(
    await (await fetch(`${running.url}/metrics`)).text(),
    'weir_verify_failures_total{finding="wrong-size"} 1',
  )
  t.ok(await running.waitForLog('nar.wrong'))
  await using client = await createNixClient({ lab })
  t.equal((await client.realise([root], { substituters: [running.url] })).code, 0)
  t.equal((await client.verify([root])).code, 0)
  t.match(
    await printed(t, 0, 'verify', 'top', 'dep', ...using),
    /^2 NARs verified, .*: all sound\n$/,
  )
  t.equal(await running.stop(), 0)
})

t.test(
  'a lost catalog is rebuilt at the start: the closure is served offline as before',
  async (t) => {
    const { config, using, nars, loseCatalog, cacheDir } = await filled(t)
    await loseCatalog()
    // An edited line is nobody's word: its path belongs to nobody who may vouch.
    const edited = join(cacheDir, `${basename(lab.paths.dep).slice(0, 32)}.narinfo`)
    const narinfo = await readFile(edited, 'utf8')
    const offline = config.replace(upstream.url, 'http://127.0.0.1:9')
    {
      await using running = await startWeir({ config: offline })
      t.match(await running.waitForLog('catalog.rebuilt'), { restored: nars.length, unsealed: 0 })
      await using client = await createNixClient({ lab })
      t.equal((await client.realise([root], { substituters: [running.url] })).code, 0)
      const list = await printed(t, 0, 'ls', '--json', ...using)
      t.equal(list.split('"upstream":"lab"').length - 1, nars.length)
      const rebuilt = await printed(t, 0, 'verify', '--rebuild', ...using)
      t.match(
        rebuilt,
        new RegExp(`^0 NARs recorded from the files, in .*; ${nars.length} had a record\\n$`),
      )
      t.equal(await running.stop(), 0)
    }
    await loseCatalog()
    await writeFile(edited, narinfo.replace(/(X-Weir-Record: 1 .)./, '$1_'))
    await using running = await startWeir({ config: offline })
    t.match(await running.waitForLog('catalog.rebuilt'), { restored: nars.length - 1, unsealed: 1 })
    const missing = await fetch(`${running.url}/${basename(lab.paths.dep).slice(0, 32)}.narinfo`)
    t.equal(missing.status, 503)
    t.equal(await running.stop(), 0)
  },
)

t.test(
  'without a Weir a rebuild records what the files have, and forgets what they have not',
  async (t) => {
    const { cacheDir, using, nars, loseCatalog } = await filled(t)
    await rm(join(cacheDir, 'nar', narOf(nars, root)))
    const gone = await printed(t, 0, 'verify', '--rebuild', ...using)
    t.match(gone, /^0 NARs recorded/)
    t.match(gone, '1 record forgotten: the files are gone\n')
    await loseCatalog()
    const list = await printed(t, 0, 'ls', ...using)
    t.equal(
      list.trimEnd().split('\n').length,
      nars.length - 1,
      'it is rebuilt before anything else',
    )
    const wrong = await weir('verify', '--rebuild', 'top', ...using)
    t.equal(wrong.code, 2)
    t.match(wrong.stderr, 'weir verify: --rebuild stands alone\n')
    t.match(
      (await weir('verify', '--rate', 'fast', ...using)).stderr,
      '--rate takes a size such as 50MiB, not "fast"',
    )
    t.match(
      (await weir('gc', '--to', 'less', ...using)).stderr,
      '--to takes a size such as 5GiB, not "less"',
    )
  },
)

t.test('the cache folder with sealed records is a binary cache for the real client', async (t) => {
  const { cacheDir, stateDir } = await filled(t)
  const [name = '', secret = ''] = (await readFile(join(stateDir, 'signing-key'), 'utf8'))
    .trim()
    .split(':')
  const publicKey = `${name}:${Buffer.from(secret, 'base64').subarray(32).toString('base64')}`
  const narinfo = await readFile(join(cacheDir, `${basename(root).slice(0, 32)}.narinfo`), 'utf8')
  t.match(narinfo, /\nX-Weir-Record: 1 \S+ \S+\n$/)
  await using client = await createNixClient({ lab, publicKeys: [publicKey] })
  const copied = await client.copyFrom(`file://${cacheDir}`, [root])
  t.equal(copied.code, 0, copied.stderr)
  t.equal((await client.verify([root])).code, 0)
})
