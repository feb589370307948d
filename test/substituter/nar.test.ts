import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { narFileName, type NarKey } from '../../src/nix/nar-key.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { claimFor, down, keys, upstreamWith } from '../fakes/test-claims.ts'
import { world, type Tap, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  never,
  testClient,
  getNar,
  readBody,
  fetchNar,
  cacheFiles,
  gate,
} from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash

t.test('a NAR', async (t) => {
  t.test('is fetched once, stored, and then served without any upstream', async (t) => {
    const a = upstreamWith('a', hello)
    const catalog = openSqliteCatalog(':memory:')
    const made = await world(t, { upstreams: [a], catalog })
    const cold = await fetchNar(made, key)
    t.ok(Buffer.compare(zstdDecompressSync(cold), patternNar) === 0)
    await made.transfers.idle()
    t.same(a.asked, [`narinfo ${hash}`, 'nar nar/hello.nar'])
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
    t.same(made.keeper.totals(), { count: 1, bytes: cold.length })
    const restarted = await world(t, {
      upstreams: [createFakeUpstream('a', { narinfo: down, nar: down })],
      catalog,
      dir: made.dir,
    })
    for (const { substituter } of [made, restarted]) {
      t.match(await substituter.narinfo(hash), { kind: 'found', isStored: true, upstream: 'a' })
      const answer = await substituter.nar(key, { isResume: false, client: testClient }, never)
      if (answer.kind !== 'found') throw new Error(answer.kind)
      t.match(answer, { isStored: true, upstream: 'a', body: { size: cold.length } })
      t.same(await readBody(answer.body), cold)
      t.equal(await answer.body.wholeSize(never), cold.length)
      t.match(await substituter.peek(key), {
        kind: 'found',
        size: cold.length,
        etag: answer.body.etag,
      })
      await answer.body[Symbol.asyncDispose]()
    }
    t.equal(a.asked.length, 2)
    t.equal(restarted.store.openFiles, 0)
  })

  t.test('is fetched once, however many ask at the same moment', async (t) => {
    const a = upstreamWith('a', hello)
    const open = gate()
    const ingest = createFakeNarIngest(async (run) => {
      await open.promise
      await run.append(patternNar)
      return run.verified()
    })
    const made = await world(t, { upstreams: [a], ingest })
    const inquiry = made.finder.inquire(hash)
    await inquiry.settled
    const one = made.transfers.start(key, inquiry)
    const two = made.transfers.start(key, inquiry)
    t.equal(one, two)
    t.equal(made.transfers.running(key), one)
    t.equal(made.transfers.start(key, inquiry), one)
    const all = Array.from({ length: 30 }, () => fetchNar(made, key))
    open.resolve(undefined)
    t.ok((await Promise.all(all)).every((bytes) => Buffer.compare(bytes, patternNar) === 0))
    await made.transfers.idle()
    t.equal(ingest.jobs.length, 1)
    t.equal(made.transfers.running(key), null)
    t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
  })

  t.test('is verified first up to a size, and released as it comes above it', async (t) => {
    const size = patternNar.length
    for (const [verifyFirstBytes, verifyFirst] of [
      [size, true],
      [size - 1, false],
    ] as const) {
      const ingest = createFakeNarIngest(async () => ({ kind: 'failed' }))
      const upstreams = [upstreamWith('a', hello)]
      const made = await world(t, { upstreams, ingest, verifyFirstBytes })
      await getNar(made, key)
      t.match(ingest.jobs, [{ verifyFirst, narSize: size, storePathHash: hash }])
    }
  })

  t.test('whose hash nobody claims is absent, and not fetched', async (t) => {
    const a = upstreamWith('a', hello)
    const made = await world(t, { upstreams: [a] })
    const other: NarKey = { ...key, narHash: claimFor(smallNar).key.narHash }
    t.match(await getNar(made, other), { kind: 'absent' })
    t.match(await made.substituter.peek(other), { kind: 'absent' })
    t.same(a.asked, [`narinfo ${hash}`])
  })

  t.test('that only a less preferred upstream claims is had from it', async (t) => {
    const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/other.nar' })
    const made = await world(t, { upstreams: [upstreamWith('a', hello), upstreamWith('b', other)] })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a' })
    t.ok(Buffer.compare(zstdDecompressSync(await fetchNar(made, other.key)), smallNar) === 0)
  })
})

t.test('a NAR that cannot be kept', async (t) => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const failing = async (t: Tap, options: Partial<WorldOptions>) => {
    let storeFailures = 0
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      meter: { storeFailed: () => (storeFailures += 1) },
      ...options,
    })
    const bytes = await fetchNar(made, key)
    await made.transfers.idle()
    return { made, bytes, storeFailures }
  }

  t.test('for want of space is served all the same, and leaves nothing', async (t) => {
    const { made, bytes, storeFailures } = await failing(t, {
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, commit: () => Promise.reject(full) }
        },
      }),
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.match(made.log.named('transfer.failed'), [{ err: { code: 'ENOSPC' } }])
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
    t.match(await made.substituter.narinfo(hash), { isStored: false })
  })

  t.test('because its narinfo cannot be written leaves no file either', async (t) => {
    const dir = workFolder(t)
    // Something is where the narinfo belongs: renaming fails after the NAR has its name.
    await mkdir(join(dir, 'cache', `${hash}.narinfo`, 'in the way'), { recursive: true })
    const { made, bytes, storeFailures } = await failing(t, { dir })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
  })

  t.test('because the catalog fails is served all the same', async (t) => {
    const catalog = openSqliteCatalog(':memory:')
    const { made, bytes, storeFailures } = await failing(t, {
      catalog: { ...catalog, put: () => Promise.reject(full) },
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
  })

  t.test('because its file cannot be opened leaves no file', async (t) => {
    const a = upstreamWith('a', hello)
    const made = await world(t, {
      upstreams: [a],
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, open: () => Promise.reject(full) }
        },
      }),
    })
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(made.transfers.running(key), null)
    t.equal(made.store.stagedFiles, 0)
    t.same(await cacheFiles(made), [])
  })
})
