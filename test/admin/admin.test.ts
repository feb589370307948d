import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { NoSuchUpstreamError } from '../../src/admin/admin.ts'
import { createLivePolicy } from '../../src/admin/live-policy.ts'
import { keepRestartOnly } from '../../src/admin/restart-only.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { parseStoreDir } from '../../src/nix/store-path.ts'
import type { Block } from '../../src/policy/block.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { SettingsError } from '../../src/settings/settings-error.ts'
import { createAdminWorld } from '../fakes/admin-world.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import {
  fetchNar,
  fetchNarinfo,
  getNar,
  isSettled,
  never,
  openNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import { claimFor, keys, narsAsked, upstreamWith } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must, path } from '../nix/fixtures.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash
const both = () => [upstreamWith('a', hello), upstreamWith('b', ofB)] as const
const recall: Block = { blocked: { kind: 'hash', hash }, reason: 'recalled' }
const settingsOf = async (): Promise<Settings> =>
  (await loadSettings({ env: {}, homeDir: '/home/ada', cores: 4 })).settings

t.test('the live policy', async (t) => {
  const live = async () => {
    const settings = await settingsOf()
    const state = { blocks: [] as readonly Block[], suspended: new Set<string>() }
    const changes: Policy[] = []
    const policy = createLivePolicy(settings, {
      recalls: { blocks: () => state.blocks },
      suspensions: { names: () => state.suspended },
      changed: (next) => {
        t.equal(policy.current(), next, 'it holds already when it is told')
        changes.push(next)
      },
    })
    return { settings, state, changes, policy }
  }

  t.test('is the same object until something changes what it says', async (t) => {
    const { settings, policy, changes } = await live()
    const first = policy.current()
    policy.refresh()
    policy.reconfigure(settings)
    policy.reconfigure({ ...settings, cache: { ...settings.cache, maxBytes: 7 } })
    t.equal(policy.current(), first)
    t.same(changes, [], 'nobody is told')
    t.equal(policy.settings().cache.maxBytes, 7, 'what is no policy is taken all the same')
  })

  t.test('takes up recalls and suspensions, and is told once each', async (t) => {
    const { state, policy, changes } = await live()
    state.blocks = [recall]
    t.same(policy.current().blocks, [], 'not before it is said')
    policy.refresh()
    t.match(policy.current(), { blocks: [recall] })
    policy.refresh()
    t.equal(changes.length, 1)
    state.suspended = new Set(['nixos'])
    policy.refresh()
    t.ok(policy.current().suspended.has('nixos'))
    t.equal(changes.length, 2)
    t.not(changes[0]?.epoch, changes[1]?.epoch)
  })

  t.test('keeps recalls and suspensions over another configuration', async (t) => {
    const { settings, state, policy, changes } = await live()
    state.blocks = [recall]
    policy.refresh()
    const configured: Block = { ...recall, blocked: { kind: 'hash', hash: '1'.repeat(32) } }
    policy.reconfigure({ ...settings, blocks: [configured], rules: [testRule()] })
    t.match(policy.current(), { blocks: [configured, recall], rules: [{ name: 'the rule' }] })
    t.equal(changes.length, 2)
  })

  t.test('keeps the one that it has where the next one cannot be made', async (t) => {
    const { settings, policy } = await live()
    const first = policy.current()
    const broken = Object.defineProperty({ ...settings }, 'rules', {
      get: () => {
        throw new TypeError('broken')
      },
    })
    t.throws(() => {
      policy.reconfigure(broken)
    }, /broken/)
    t.equal(policy.current(), first)
    t.equal(policy.settings(), settings)
  })
})

t.test('a reload', async (t) => {
  t.test('holds at once: what the new policy refuses is not served', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    await storeNar(made, key)
    const reader = await openNar(made, key)
    const before = made.live.current().epoch
    made.setSettings({ rules: [testRule({ signedBy: [publicKeyOf(keys.stranger)] })] })
    const report = await made.admin.reload()
    t.match(report, { isPolicyChanged: true, needRestart: [], warnings: [] })
    t.equal(report.epoch, made.live.current().epoch)
    t.not(report.epoch, before)
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.equal((await getNar(made, key)).kind, 'absent')
    await t.rejects(reader.body.read(Buffer.alloc(1), 0, never))
    await reader.body[Symbol.asyncDispose]()
    t.match(made.log.named('settings.reloaded'), [{ epoch: report.epoch, isPolicyChanged: true }])
  })

  t.test('of the same file changes nothing, and disturbs nobody', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    await fetchNarinfo(made, hello)
    made.setSettings({})
    t.match(await made.admin.reload(), { isPolicyChanged: false, needRestart: [] })
    t.same(made.changes, [])
  })

  t.test('of a wrong file is refused, and the old one stays', async (t) => {
    const results: string[] = []
    const meter = { reloaded: (result: string) => results.push(result) }
    const made = await createAdminWorld(t, { upstreams: both(), meter })
    await storeNar(made, key)
    const configFile = join(workFolder(t), 'weir.toml')
    const options = { env: {}, configFile, homeDir: '/home/ada', cores: 4 }
    made.setFile(() => loadSettings(options))
    for (const text of ['[[upstream]]\nname = 1\n', 'no toml', '[policy]\nunmatched = "never"\n']) {
      await writeFile(configFile, text)
      await t.rejects(made.admin.reload(), SettingsError)
    }
    t.same(made.changes, [])
    t.equal(made.live.settings(), made.settings)
    t.match(await made.substituter.narinfo(hash), { kind: 'found', isStored: true })
    t.same(made.log.named('settings.reloaded'), [])
    made.setSettings({})
    await made.admin.reload()
    t.same(results, ['refused', 'refused', 'refused', 'ok'], 'each is counted')
  })

  t.test('with another key under the name of Weir’s own is refused', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    const forged = { ...publicKeyOf(keys.stranger), name: keys.weir.name }
    made.setSettings({ importKeys: [forged] })
    await t.rejects(made.admin.reload(), SettingsError)
    t.same(made.changes, [])
    made.setSettings({ importKeys: [publicKeyOf(keys.weir)] })
    t.match(await made.admin.reload(), { isPolicyChanged: true }, 'Weir’s own may be there')
  })

  t.test('names what holds only after a restart, and takes the rest', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    const { server, nar, cache } = made.settings
    made.setSettings({
      server: { ...server, priority: server.priority + 1 },
      nar: { ...nar, workers: nar.workers + 1, zstdLevel: nar.zstdLevel + 1 },
      cache: { ...cache, dir: '/elsewhere', maxBytes: 7 },
    })
    const needRestart = ['server.priority', 'cache.dir', 'nar.workers']
    t.same((await made.admin.reload()).needRestart, needRestart)
    t.match(made.live.settings(), {
      server: { priority: server.priority },
      nar: { workers: nar.workers, zstdLevel: nar.zstdLevel + 1 },
      cache: { dir: cache.dir, maxBytes: 7 },
    })
    t.same((await made.admin.reload()).needRestart, needRestart, 'and again, as it still differs')
    made.setSettings({})
    t.same((await made.admin.reload()).needRestart, [])
  })

  t.test('tells the warnings of the file', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    const loaded = { settings: made.settings, source: 'weir.toml', warnings: ['a warning'] }
    made.setFile(() => Promise.resolve(loaded))
    t.same((await made.admin.reload()).warnings, ['a warning'])
    t.match(made.log.named('settings.warning'), [{ warning: 'a warning' }])
  })

  t.test('keeps the recalls and suspensions that Weir keeps itself', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    await made.admin.recall(recall)
    await made.admin.suspend('b', 'to be looked at')
    made.setSettings({ rules: [testRule()] })
    await made.admin.reload()
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.ok(made.live.current().suspended.has('b'))
  })
})

t.test('every key that needs a restart is named, and holds until then', async (t) => {
  const running = await settingsOf()
  const { server, cache, state, signing, nar } = running
  const changes: Readonly<Record<string, Partial<Settings>>> = {
    'server.listen': { server: { ...server, listen: { kind: 'unix', path: '/run/weir' } } },
    'server.store_dir': { server: { ...server, storeDir: must(parseStoreDir('/other/store')) } },
    'server.priority': { server: { ...server, priority: 1 } },
    'server.hosts': { server: { ...server, hosts: ['weir.test'] } },
    'server.drain_timeout': { server: { ...server, drainTimeoutMs: 1 } },
    'cache.dir': { cache: { ...cache, dir: '/elsewhere' } },
    'state.dir': { state: { ...state, dir: '/elsewhere' } },
    'signing.key_file': { signing: { ...signing, keyFile: '/elsewhere' } },
    'nar.workers': { nar: { ...nar, workers: nar.workers + 1 } },
    'nar.max_transfers': { nar: { ...nar, maxTransfers: nar.maxTransfers + 1 } },
    log: { log: { ...running.log, level: 'trace' } },
  }
  for (const [name, change] of Object.entries(changes)) {
    const { settings, needRestart } = keepRestartOnly(running, { ...running, ...change })
    t.same(needRestart, [name])
    t.strictSame(settings, running, name)
  }
  const free: Partial<Settings> = {
    cache: { ...cache, maxBytes: 7 },
    signing: { ...signing, mode: 'replace' },
    nar: { ...nar, verifyFirstBytes: 7, zstdLevel: 7, maxNarBytes: 7 },
    timeouts: { connectMs: 1, headersMs: 1, idleMs: 1, narinfoMs: 1 },
    policy: { unmatched: 'deny', enforce: true, realisations: true },
    rules: [testRule()],
    blocks: [recall],
    upstreams: [],
    importKeys: [publicKeyOf(keys.a)],
  }
  const next = { ...running, ...free }
  t.strictSame(keepRestartOnly(running, next), { settings: next, needRestart: [] })
})

t.test('a suspended upstream', async (t) => {
  t.test(
    'is not believed from the moment on, nor after a restart, until it is resumed',
    async (t) => {
      const [a, b] = both()
      const made = await createAdminWorld(t, { upstreams: [a, b] })
      await storeNar(made, key)
      const suspending = made.admin.suspend('a', 'to be looked at')
      t.ok(made.live.current().suspended.has('a'), 'before it is written')
      t.equal(await suspending, true)
      t.equal(await made.admin.suspend('a', 'another reason'), false)
      t.match(await made.substituter.narinfo(hash), { upstream: 'b' })
      const { catalog, dir } = made
      const [again, other] = both()
      const later = await createAdminWorld(t, { upstreams: [again, other], catalog, dir })
      const sinceMs = made.clock.nowMs()
      t.strictSame(later.admin.upstreams(), [
        { upstream: 'a', suspended: 'to be looked at', sinceMs, circuit: 'closed' },
        { upstream: 'b', suspended: null, sinceMs: null, circuit: 'closed' },
      ])
      t.match(await later.substituter.narinfo(hash), { upstream: 'b' })
      t.same(again.asked, [], 'it is not asked either')
      t.equal(await later.admin.resume('a'), true)
      t.equal(await later.admin.resume('a'), false)
      t.match(later.admin.upstreams(), [{ suspended: null }, { suspended: null }])
      t.match(await later.finder.inquire(hash).chosen, { answer: { claim: { upstream: 'a' } } })
      t.match(
        [...made.evidence.events, ...later.evidence.events],
        [
          { kind: 'upstream-suspended', upstream: 'a', detail: 'to be looked at' },
          { kind: 'upstream-resumed', upstream: 'a' },
        ],
      )
    },
  )

  t.test('must be one that is configured, unless it is suspended already', async (t) => {
    const made = await createAdminWorld(t, { upstreams: both() })
    await t.rejects(made.admin.suspend('c', 'why'), NoSuchUpstreamError)
    await t.rejects(made.admin.resume('c'), /there is no upstream "c": there are a, b/)
    await made.admin.suspend('b', 'why')
    made.setSettings({ upstreams: made.settings.upstreams.slice(0, 1) })
    await made.admin.reload()
    t.equal(await made.admin.resume('b'), true)
    await t.rejects(made.admin.resume('b'), NoSuchUpstreamError)
  })
})

t.test('an upstream that lied about a name', async (t) => {
  const renamed = claimFor(patternNar, {
    storePath: path(`${hash}-harmless`),
    signers: [keys.b],
    url: 'nar/b.nar',
  })
  const other = claimFor(Buffer.from(patternNar), {
    storePath: path(`${'1'.repeat(32)}-other`),
    signers: [keys.b],
    url: 'nar/other.nar',
  })
  const lied = async (t: Parameters<typeof createAdminWorld>[0], enforce: boolean) => {
    const counted: string[] = []
    const made = await createAdminWorld(t, {
      upstreams: [upstreamWith('a', hello), upstreamWith('b', renamed, other)],
      settings: { policy: { unmatched: 'allow', enforce, realisations: false } },
      meter: { nameLied: (upstream) => counted.push(upstream) },
    })
    const reader = await openNar(made, other.key)
    await made.transfers.idle()
    await fetchNarinfo(made, hello)
    const { settled } = made.finder.inquire(hash)
    await settled
    await isSettled(settled)
    // What is being written is written before the folder goes.
    t.teardown(() => made.suspensions.suspend('b', '', 0))
    return { made, counted, reader }
  }

  t.test('is suspended, and nothing of it is served any more', async (t) => {
    const { made, counted, reader } = await lied(t, true)
    t.same(counted, ['b'])
    t.same([...made.live.current().suspended], ['b'])
    t.match(made.admin.upstreams(), [
      { suspended: null },
      { suspended: /^b signed the name harmless/ },
    ])
    t.match(made.evidence.events[0], { kind: 'lying-name', hash, upstream: 'b' })
    t.match(made.log.named('name.lied'), [{ claimed: 'harmless', truth: 'hello', by: 'a' }])
    await t.rejects(reader.body.read(Buffer.alloc(1), 0, never))
    await reader.body[Symbol.asyncDispose]()
    t.equal((await getNar(made, other.key)).kind, 'absent')
    t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'a' })
    t.ok((await fetchNar(made, key)).length > 0)
  })

  t.test('is only told of where the policy only reports', async (t) => {
    const { made, counted, reader } = await lied(t, false)
    t.same(counted, ['b'])
    t.same([...made.live.current().suspended], [])
    t.match(made.evidence.events, [{ kind: 'lying-name', hash, upstream: 'b' }])
    t.equal(await reader.body.read(Buffer.alloc(1), 0, never), 1)
    await reader.body[Symbol.asyncDispose]()
  })
})

t.test('a Weir whose upstreams are all suspended answers that nobody has it', async (t) => {
  const a = createFakeUpstream('a')
  const made = await createAdminWorld(t, { upstreams: [a] })
  await made.admin.suspend('a', 'why')
  t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
  t.same([...a.asked, ...narsAsked(a)], [])
})
