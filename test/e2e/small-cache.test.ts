import { readFile, stat, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import type { PinList } from '../../src/admin/pins.ts'
import { weir as runWeir } from '../cli/run-weir.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { quickcheck } from '../lab/quickcheck.ts'
import { mustRun } from '../lab/run-command.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
const top = basename(lab.paths.top)
const wide = basename(lab.paths.wide)
const KiB = 1024

function configOf(upstream: UpstreamServer, cache: Readonly<Record<string, unknown>>) {
  const upstreams = [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }]
  return { upstreams, extra: { cache } }
}

/** What a folder's files take on disk, in bytes. */
async function diskBytes(dir: string): Promise<number> {
  const listed = await mustRun('find', [dir, '-type', 'f', '-printf', '%b\\n'], {})
  return listed.split('\n').reduce((sum, blocks) => sum + Number(blocks) * 512, 0)
}

/** Runs a command against a Weir; what it prints. */
async function run(t: Test, { configFile }: WeirProcess, ...args: readonly string[]) {
  const ran = await runWeir(...args, '--config', configFile)
  t.equal(ran.code, 0, `${args.join(' ')}: ${ran.stderr}`)
  return ran.stdout
}

async function pinsOf(t: Test, weir: WeirProcess): Promise<PinList> {
  return JSON.parse(await run(t, weir, 'pins', '--json')) as PinList
}

async function metric(weir: WeirProcess, name: string): Promise<number> {
  const text = await (await fetch(`${weir.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
}

t.test(
  'a closure that is larger than the cache is served whole, and the cache stays small',
  async (t) => {
    await using upstream = await startUpstream({ root: lab.caches.xz })
    await using client = await createNixClient({ lab })
    const limit = 200 * KiB
    await using weir = await startWeir({ config: configOf(upstream, { max_size: limit }) })
    await t.resolves(quickcheck(client, weir.url))
    await client.wipe()
    await t.resolves(quickcheck(client, weir.url), 'and again, with a part of it stored')
    t.ok((await metric(weir, 'weir_cache_evictions_total')) > 10, 'NARs were evicted')
    t.equal(await weir.stop(), 0)
    const bytes = await diskBytes(weir.cacheDir)
    t.ok(bytes <= limit + 32 * KiB, `${bytes} bytes on disk`)
    t.ok(bytes > limit / 4, 'and it is used')
  },
)

t.test('a pin', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await using client = await createNixClient({ lab })
  const config = configOf(upstream, { max_size: 100 * KiB })
  await using weir = await startWeir({ config })
  const pinned = async (weir: WeirProcess) =>
    (await pinsOf(t, weir)).pins.find(({ path }) => path === top)

  await t.test('fetches its closure, and lists it', async (t) => {
    const { code, stdout, stderr } = await runWeir(
      'pin',
      lab.paths.top,
      '--config',
      weir.configFile,
    )
    t.strictSame([code, stderr], [0, ''])
    t.match(stdout, new RegExp(`^${top}: pinned: \\d+ paths, \\d+ to be fetched\\n`))
    t.match(stdout, new RegExp(`^fetched ${top}: 0\\.0 MiB, from lab$`, 'm'))
    const { pins, pinnedBytes, limitBytes } = await pinsOf(t, weir)
    t.match(pins, [{ path: top, unresolved: 0 }])
    t.ok((pins[0]?.paths ?? 0) > 1)
    t.equal(pins[0]?.stored, pins[0]?.paths)
    t.strictSame([pinnedBytes, limitBytes], [pins[0]?.storedBytes, 100 * KiB])
    t.equal(await metric(weir, 'weir_cache_pinned_bytes'), pinnedBytes)
    t.match(
      await run(t, weir, 'pins'),
      new RegExp(`^${top} +\\S+Z +(\\d+) of \\1 +0\\.0 MiB$`, 'm'),
    )
    t.match(await run(t, weir, 'pin', top), `${top}: was pinned already: `)
    t.equal((await stat(join(weir.stateDir, 'pins.json'))).mode & 0o777, 0o600)
  })

  await t.test('survives pressure', async (t) => {
    await t.resolves(quickcheck(client, weir.url))
    t.ok((await metric(weir, 'weir_cache_evictions_total')) > 10)
    const pin = await pinned(weir)
    t.equal(pin?.stored, pin?.paths)
  })

  await t.test('of what nobody has is refused, in words', async (t) => {
    const hash = '0c7c9q1f6v7d3kmxz5s2w8bh4jrny0pl'
    const { code, stderr } = await runWeir('pin', hash, '--config', weir.configFile)
    t.strictSame([code, stderr], [1, `weir: ${hash} cannot be pinned: no upstream has it\n`])
  })

  await t.test('that is larger than the cache is made, with a warning', async (t) => {
    const { code, stderr } = await runWeir('pin', wide, '--config', weir.configFile)
    t.equal(code, 0)
    t.match(
      stderr,
      /^weir: warning: what is pinned takes \d\.\d MiB, and cache\.max_size is 0\.1 MiB/,
    )
    t.match(await run(t, weir, 'unpin', wide), `${wide}: not pinned any more\n`)
    const again = await runWeir('unpin', wide, '--config', weir.configFile)
    t.equal(again.code, 1)
    t.match(again.stderr, 'is not pinned')
  })

  await t.test('serves its closure without the upstream, after a restart', async (t) => {
    await weir.stop()
    await upstream.stop()
    await using again = await startWeir({ ...weir, config })
    await client.wipe()
    const served = await client.realise([lab.paths.top], { substituters: [again.url] })
    t.equal(served.code, 0, served.stderr)
    const other = await runWeir('pin', lab.paths.fod, '--config', again.configFile)
    t.equal(other.code, 1)
    t.match(other.stderr, 'cannot be pinned: could not tell: lab: ')
    await again.stop()
  })

  await t.test('is listed and let go of where no Weir runs', async (t) => {
    const offline = { ...weir, configFile: weir.configFile }
    const pin = await pinned(offline)
    t.equal(pin?.stored, pin?.paths)
    const nothing = await runWeir('pin', lab.paths.fod, '--config', weir.configFile)
    t.equal(nothing.code, 1)
    t.match(nothing.stderr, 'no Weir runs that could fetch it')
    t.match(await run(t, offline, 'pin', top), 'was pinned already')
    t.equal(await run(t, offline, 'unpin', top), `${top}: not pinned any more\n`)
    t.equal(await run(t, offline, 'pins'), 'nothing is pinned\n')
    t.notMatch(await readFile(join(weir.stateDir, 'pins.json'), 'utf8'), top)
  })
})

t.test('what of a closure cannot be had is said, and the pin is kept', async (t) => {
  const dep = basename(lab.paths.dep)
  await using upstream = await startUpstream({
    root: lab.caches.xz,
    only: (path) => !path.includes(dep.slice(0, 32)),
  })
  await using weir = await startWeir({ config: configOf(upstream, {}) })
  const { code, stdout, stderr } = await runWeir('pin', top, '--config', weir.configFile)
  t.equal(code, 1)
  t.match(stdout, /: pinned: .*, 1 that cannot be had\n/)
  t.match(stderr, `weir: ${dep}: no upstream has it\n`)
  t.match(stderr, `weir: ${top}: 1 path of its closure could not be had; the pin is kept`)
  t.match(await run(t, weir, 'pins'), /at least \d+/)
})

t.test('a recall outranks a pin: what it is of goes, and cannot be pinned', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await using weir = await startWeir({ config: configOf(upstream, {}) })
  await run(t, weir, 'pin', top)
  const before = (await pinsOf(t, weir)).pins[0]
  const recalled = await run(t, weir, 'recall', '--package', 'top', '--reason', 'a back door')
  t.match(recalled, 'removed from the cache: 1 NAR')
  t.equal((await pinsOf(t, weir)).pins[0]?.stored, (before?.stored ?? 0) - 1)
  const again = await runWeir('pin', top, '--config', weir.configFile)
  t.equal(again.code, 1)
  t.match(again.stderr, /cannot be pinned: refused: lab: recalled \(a back door\)/)
})

t.test('where more is to stay free than there is, all is served, and nothing kept', async (t) => {
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await using client = await createNixClient({ lab })
  const { blocks, bsize } = await statfs('/tmp')
  const config = configOf(upstream, { min_free: blocks * bsize })
  await using weir = await startWeir({ config })
  const { code } = await client.realise([lab.paths.top], { substituters: [weir.url] })
  t.equal(code, 0)
  await weir.waitForLog('cache.full')
  t.equal(weir.logs.filter(({ event }) => event === 'cache.full').length, 1)
  t.ok((await metric(weir, 'weir_cache_free_bytes')) > 0)
})
