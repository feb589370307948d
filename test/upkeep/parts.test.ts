import { EventEmitter } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createProgress, describeStep, formatBytes, formatTime } from '../../src/cli/progress.ts'
import { runCli } from '../../src/cli/run-cli.ts'
import { verifyStored } from '../../src/ingest/verify-stored.ts'
import { isSameFile, narFileName } from '../../src/nix/nar-key.ts'
import type { StoredNar } from '../../src/ports/catalog.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import { recordKeyOf } from '../../src/state/record-key.ts'
import { openRecord } from '../../src/store/sealed-record.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createBackgroundRebuild } from '../../src/upkeep/background-rebuild.ts'
import { inOrder } from '../../src/upkeep/in-order.ts'
import { createPace } from '../../src/upkeep/pace.ts'
import { sealedKeeper } from '../../src/upkeep/sealed-keeper.ts'
import { selects } from '../../src/upkeep/select-paths.ts'
import { baseNameOf, narBytesOf } from '../../src/upkeep/stored-name.ts'
import { thinProgress } from '../../src/upkeep/thin-progress.ts'
import { verify } from '../../src/upkeep/verify.ts'
import { record } from '../contracts/catalog-contract.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { fetchNar, storeNar } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { claimFor, keys, numbered, upstreamWith } from '../fakes/test-claims.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must, storeDir } from '../nix/fixtures.ts'
import { fillStore } from './offline-store.ts'

const never = new AbortController().signal

async function* listed<T>(...items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

async function all<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

t.test('a pace lets bytes pass at its rate, and makes up for no pause', async (t) => {
  let now = 0
  const waits: number[] = []
  const wait = async (ms: number): Promise<void> => {
    waits.push(ms)
    now += ms
  }
  const pace = createPace(1000, { nowMs: () => now, wait })
  await pace(500, never)
  await pace(1, never)
  await pace(499, never)
  now += 60_000
  await pace(100, never)
  t.strictSame(waits, [500, 500, 100])
  await createPace(null, { nowMs: () => now, wait })(1e12, never)
  t.equal(waits.length, 3)
})

t.test('tasks run side by side, and their results come in order', async (t) => {
  let running = 0
  let most = 0
  const task = (ms: number) => async () => {
    running += 1
    most = Math.max(most, running)
    for (let turn = 0; turn < ms; turn += 1) await Promise.resolve()
    running -= 1
    return ms
  }
  t.strictSame(await all(inOrder(listed(task(9), task(1), task(5), task(0)), 2)), [9, 1, 5, 0])
  t.equal(most, 2)
  const failing = inOrder(
    listed(task(1), () => Promise.reject(new Error('broken')), task(2)),
    3,
  )
  await t.rejects(all(failing), { message: 'broken' })
})

t.test('progress is thinned, but for the last before something else', async (t) => {
  let now = 0
  const events = listed<number | string>(1, 2, 3, 'wrong', 4, 5, 'end', 6, 7)
  const timed = async function* () {
    for await (const event of events) {
      now += 100
      yield event
    }
  }
  const thinned = thinProgress<number | string>(timed(), (event) => typeof event === 'number', {
    ...{ intervalMs: 250, nowMs: () => now },
  })
  t.strictSame(await all(thinned), [1, 3, 'wrong', 4, 5, 'end', 6, 7])
})

t.test('progress in words: in one line on a terminal, now and then elsewhere', async (t) => {
  t.strictSame([0, 1023, 1024, 1.5 * 1024 ** 3, 5 * 1024 ** 5].map(formatBytes), [
    ...['0 B', '1023 B', '1.0 KiB', '1.5 GiB', '5120.0 TiB'],
  ])
  t.strictSame([400, 59_000, 200_000, 3_720_000, 200 * 3_600_000].map(formatTime), [
    ...['0 s', '59 s', '3 min 20 s', '1 h 2 min', '8 days 8 h'],
  ])
  const step = (fraction: number) => ({ fraction, done: '2 NARs', bytes: 1024 })
  t.equal(describeStep(step(0.25), 500), '25 %, 2 NARs')
  t.equal(describeStep(step(0.25), 2000), '25 %, 2 NARs, 512 B/s, 6 s left')
  const written = (isTerminal: boolean, ...steps: readonly (readonly [number, number])[]) => {
    let [now, text] = [0, '']
    const progress = createProgress({ err: (more) => (text += more), isTerminal }, () => now)
    for (const [atMs, fraction] of steps) {
      now = atMs
      progress.show({ ...step(fraction), bytes: null })
    }
    progress.clear()
    return text
  }
  t.equal(written(true, [0, 0.5]), '\r\u001b[K[##########----------] 50 %, 2 NARs\r\u001b[K')
  const lines = written(false, [100, 0.9], [6000, 0.2], [7000, 0.25], [40_000, 0.26]).split('\n')
  t.strictSame(lines, ['20 %, 2 NARs, 24 s left', '26 %, 2 NARs, 1 min 54 s left', ''])
})

t.test('a path is selected by its hash, and by globs of its name or the whole', async (t) => {
  const path = `${'0'.repeat(32)}-hello-2.12`
  for (const glob of ['0'.repeat(32), path, 'hello-*', '*-hello-2.12', '0*']) {
    t.ok(selects([glob], path), glob)
  }
  for (const glob of ['hello', 'ello-*', '1*']) t.notOk(selects([glob], path), glob)
  t.ok(selects([], path))
})

t.test('of a field that a claim has twice the last counts', async (t) => {
  const { storePathHash: hash } = record('0', '0').key
  const claimed = (claim: string): StoredNar => record('0', '0', { claim: Buffer.from(claim) })
  const twice = `StorePath: /nix/store/${hash}-a\nNarSize: 1\nStorePath: /nix/store/${hash}-b\nNarSize: 22\n`
  t.equal(baseNameOf(claimed(twice)), `${hash}-b`)
  t.equal(narBytesOf(claimed(twice)), 22)
  t.equal(baseNameOf(claimed(`StorePath: /nix/store/${'1'.repeat(32)}-a\n`)), null)
  t.equal(narBytesOf(claimed('nothing')), null)
})

t.test('a rebuild in the background', async (t) => {
  const made = (
    scan: Parameters<typeof createBackgroundRebuild>[0]['scan'],
    isRecalled: (stored: StoredNar) => boolean = () => false,
  ) => {
    const catalog = openSqliteCatalog(':memory:')
    t.teardown(() => catalog.close())
    let recounted = 0
    const errors: unknown[] = []
    const rebuilding = createBackgroundRebuild({
      ...{ catalog, scan, isRecalled, clock: { nowMs: () => 0 } },
      log: { ...createSilentLog(), error: (event) => errors.push(event) },
      store: { open: () => Promise.resolve(null) },
      keeper: {
        restore: async (found) => (await catalog.putMissing(found)).length,
        drop: async ({ key }) => {
          await catalog.remove(key)
        },
        recount: async () => {
          recounted += 1
        },
      },
    })
    return { catalog, rebuilding, errors, recounts: () => recounted }
  }
  const batch = (...paths: readonly string[]) => ({
    ...{ records: paths.map((path) => record(path, '0')), unsealed: 0, wrongFiles: 0 },
  })

  t.test('records what is found, once', async (t) => {
    let scans = 0
    const { catalog, rebuilding } = made(() => {
      scans += 1
      return listed(batch('0', '1'), batch('1', '2'))
    })
    rebuilding.startWhereDue()
    t.ok(rebuilding.isRunning())
    await rebuilding.settled()
    rebuilding.startWhereDue()
    await rebuilding.settled()
    t.notOk(rebuilding.isRunning())
    t.equal(scans, 1)
    t.equal((await catalog.totals()).count, 3)
    t.equal(await catalog.isRebuildDue(), false)
  })

  t.test('removes what was recalled before it was found', async (t) => {
    const [kept, recalled] = [record('0', '0'), record('1', '0')]
    const { catalog, rebuilding } = made(
      () => listed(batch('0', '1')),
      ({ key }) => isSameFile(key, recalled.key),
    )
    rebuilding.startWhereDue()
    await rebuilding.settled()
    t.strictSame(await catalog.page(null, 10), [kept])
  })

  t.test('that is stopped, or fails, is due again', async (t) => {
    const failing = made(() => {
      throw new Error('the disk is gone')
    })
    failing.rebuilding.startWhereDue()
    await failing.rebuilding.settled()
    t.match(failing.errors, [{ event: 'rebuild.failed' }])
    t.equal(await failing.catalog.isRebuildDue(), true)
    const { promise: reached, resolve: reach } = Promise.withResolvers<null>()
    const stopped = made(async function* (signal) {
      yield batch('0')
      reach(null)
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('stopped'))
        })
      })
    })
    stopped.rebuilding.startWhereDue()
    await reached
    await stopped.rebuilding[Symbol.asyncDispose]()
    t.strictSame(stopped.errors, [])
    t.equal(await stopped.catalog.isRebuildDue(), true)
  })

  t.test('begins anew, after the catalog was renewed', async (t) => {
    const { catalog, rebuilding, recounts } = made(() => listed(batch('0')))
    rebuilding.startWhereDue()
    rebuilding.catalogRenewed()
    await rebuilding.settled()
    t.equal(recounts(), 1)
    t.equal((await catalog.totals()).count, 1)
    t.equal(await catalog.isRebuildDue(), false)
  })
})

t.test(
  'records are sealed as they are kept, and again where other claims stand behind them',
  async (t) => {
    const hello = claimFor(patternNar)
    const made = await world(t, { upstreams: [upstreamWith('a', hello)] })
    const recordKey = recordKeyOf(keys.weir)
    const { store, catalog } = made
    const keeper = sealedKeeper(made.keeper, { store, catalog, recordKey, log: createSilentLog() })
    await fetchNar(made, hello.key)
    await made.transfers.idle()
    const { storePathHash } = hello.key
    const sealed = async () => {
      const narinfo = Buffer.from(must(await store.describe(storePathHash))).toString()
      return openRecord(narinfo, hello.key, recordKey)
    }
    const stored = must((await catalog.find(storePathHash))[0])
    t.equal(await sealed(), null, 'kept by a keeper that does not seal')
    await keeper.adopt({ ...stored, certainIn: 'another', storedAtMs: 1 })
    await keeper.flush()
    t.equal(await sealed(), null, 'the same claims')
    const witnesses = [{ upstream: 'b', claim: new Uint8Array([1]) }]
    await keeper.adopt({ ...stored, witnesses })
    await keeper.flush()
    const { usedAtMs, diskBytes } = stored
    t.strictSame({ ...(await sealed()), usedAtMs, diskBytes }, { ...stored, witnesses })
    await using staged = await keeper.stage()
    await writeFile(staged.path, 'abc')
    await keeper.keep(staged, { ...stored, fileBytes: 3 }, `StorePath: x\n`)
    const kept = Buffer.from(must(await store.describe(storePathHash))).toString()
    t.match(openRecord(kept, stored.key, recordKey), { fileBytes: 3 })
  },
)

t.test('verify goes on where the disk does not give a file any more', async (t) => {
  const [lost, sound] = [numbered(1), numbered(2)]
  const made = await world(t, { upstreams: [upstreamWith('a', lost, sound)] })
  for (const { key } of [lost, sound]) await storeNar(made, key)
  const { store } = made
  const eio = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
  const failing: NarStore = {
    ...store,
    async open(key) {
      const file = await store.open(key)
      const isLost = isSameFile(key, lost.key)
      return isLost && file !== null ? { ...file, read: () => Promise.reject(eio) } : file
    },
  }
  const deps = { ...made, store: failing, verifyStored, storeDir, meter: createNullMeter() }
  const options = { selection: [], bytesPerSecond: null, parallel: 1 }
  const events = await all(verify(deps, options, never))
  t.match(
    events.filter(({ kind }) => kind !== 'progress'),
    [
      { kind: 'wrong', finding: 'unreadable-file', file: narFileName(lost.key) },
      { kind: 'strays' },
    ],
  )
  t.match(events.at(-2), { checked: 2, wrong: 1 })
  t.same(await made.catalog.find(lost.key.storePathHash), [])
  t.equal(await store.open(lost.key), null, 'it is put aside')
})

t.test('Ctrl-C stops a verification, which says how far it came', async (t) => {
  const dir = workFolder(t)
  const config = join(dir, 'weir.toml')
  await writeFile(config, `[cache]\ndir = "cache"\n[state]\ndir = "state"\n`)
  const hello = claimFor(patternNar)
  await fillStore(dir, hello)
  const signals = new EventEmitter()
  signals.on('newListener', (name) => {
    if (name === 'SIGINT') setImmediate(() => signals.emit('SIGINT'))
  })
  let [stdout, stderr] = ['', '']
  const code = await runCli(['verify', '--rate', '1B', '--config', config], {
    ...{ env: {}, homeDir: '/nonexistent', cores: 1, isTerminal: false, signals },
    out: (text) => (stdout += text),
    err: (text) => (stderr += text),
    write: () => Promise.resolve(),
  })
  t.equal(code, 1)
  t.equal(stderr, 'weir: stopped before the end\n')
  t.equal(stdout, '0 NARs verified, 0 B: all sound\n')
  t.equal(signals.listenerCount('SIGINT'), 0)
})
