import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { narFileName, type NarFileKey } from '../../src/nix/nar-key.ts'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest, fakeEtag } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { claimFor, contentAddressed, down, keys, upstreamWith } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { world, type Tap, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  never,
  testClient,
  getNar,
  openNar,
  storeNar,
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
      t.match(answer, { isStored: true, served: { upstream: 'a' }, body: { size: cold.length } })
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
    const other: NarFileKey = { ...key, narHash: claimFor(smallNar).key.narHash }
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
    const storeFailures: string[] = []
    const ingested: string[] = []
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      meter: {
        storeFailed: (code) => storeFailures.push(code),
        narIngested: (result) => ingested.push(result),
      },
      ...options,
    })
    const bytes = await fetchNar(made, key)
    await made.transfers.idle()
    return { made, bytes, storeFailures, ingested }
  }

  t.test('for want of space is served all the same, and leaves nothing', async (t) => {
    const { made, bytes, storeFailures, ingested } = await failing(t, {
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, commit: () => Promise.reject(full) }
        },
      }),
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.same([storeFailures, ingested], [['ENOSPC'], ['failed']])
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
    t.same(storeFailures, ['other'])
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
  })

  t.test('because the catalog fails is served all the same', async (t) => {
    const catalog = openSqliteCatalog(':memory:')
    const { made, bytes, storeFailures } = await failing(t, {
      catalog: { ...catalog, put: () => Promise.reject(full) },
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.same(storeFailures, ['ENOSPC'])
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
  })

  t.test('because its file cannot be opened is served all the same, and leaves none', async (t) => {
    const { made, bytes, storeFailures } = await failing(t, {
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, open: () => Promise.reject(full) }
        },
      }),
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.same(storeFailures, ['ENOSPC'])
    t.equal(made.transfers.running(key), null)
    t.equal(made.store.stagedFiles, 0)
    t.same(await cacheFiles(made), [])
  })
})

t.test('what is recorded of NARs', async (t) => {
  const expected = (upstream: string, client: string) => ({
    hash,
    path: `${hash}-hello`,
    narHash: key.narHash,
    client,
    upstream,
    keys: [formatPublicKey(publicKeyOf(keys.a))],
    rule: 'the rule',
    epoch: 'epoch-1',
  })
  const policy = { rules: [testRule()] }

  t.test('is who got which, whose word it was, and by which rule', async (t) => {
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], policy })
    await fetchNar(made, key, '192.0.2.1')
    await made.transfers.idle()
    await fetchNar(made, key, '192.0.2.2')
    await fetchNar(made, key, '192.0.2.2')
    t.strictSame(
      made.evidence.servedNars,
      ['192.0.2.1', '192.0.2.2', '192.0.2.2'].map((client) => expected('a', client)),
      'from a transfer, and from disk',
    )
  })

  t.test('is everybody who joins a transfer, also who leaves early', async (t) => {
    const [begun, open] = [gate(), gate()]
    const ingest = createFakeNarIngest(async (run) => {
      run.events.released(await run.append(patternNar), fakeEtag)
      begun.resolve(undefined)
      await open.promise
      return run.verified()
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], policy, ingest })
    const first = await openNar(made, key, '192.0.2.1')
    await begun.promise
    const second = await openNar(made, key, '192.0.2.2')
    const resume = await made.substituter.nar(key, { isResume: true, client: '192.0.2.3' }, never)
    for (const answer of [first, second, resume]) {
      if (answer.kind !== 'found') throw new Error(answer.kind)
      await answer.body[Symbol.asyncDispose]()
    }
    open.resolve(undefined)
    await made.transfers.idle()
    t.same(
      made.evidence.servedNars.map(({ client }) => client),
      ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
    )
  })

  t.test('is nobody who asks for a narinfo, by HEAD, or for what is not given', async (t) => {
    const a = upstreamWith('a', hello)
    const made = await world(t, { upstreams: [a], policy })
    await made.substituter.narinfo(hash)
    await made.substituter.peek(key)
    t.equal((await getNar(made, { ...key, narHash: '0'.repeat(52) })).kind, 'absent')
    a.answers.nar = () => bodyOf(smallNar)
    t.equal((await getNar(made, key)).kind, 'failed')
    a.answers.nar = () => bodyOf(patternNar)
    made.clock.advance(60_000)
    await fetchNar(made, key)
    await made.transfers.idle()
    await made.substituter.narinfo(hash)
    await made.substituter.peek(key)
    t.equal(made.evidence.servedNars.length, 1)
  })

  t.test('is without keys where a content address vouches alone', async (t) => {
    const claim = contentAddressed()
    const made = await world(t, { upstreams: [upstreamWith('c', claim)] })
    await fetchNar(made, claim.key)
    t.match(made.evidence.servedNars, [{ upstream: 'c', keys: [], rule: null }])
    t.same(made.evidence.servedNars[0]?.keys, [])
  })

  t.test('goes on when Weir is started again', async (t) => {
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], policy })
    await storeNar(made, key)
    const upstreams = [createFakeUpstream('a', { narinfo: down })]
    const { catalog, dir } = made
    const later = await world(t, { upstreams, policy, catalog, dir })
    await fetchNar(later, key)
    t.strictSame(later.evidence.servedNars, [expected('a', testClient)])
  })
})
