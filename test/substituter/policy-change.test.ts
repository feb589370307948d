import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { narFileName } from '../../src/nix/nar-key.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Blocked } from '../../src/policy/block.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { TransferBrokenError } from '../../src/substituter/fetching/transfer.ts'
import { patternNar, randomBytes } from '../fakes/encode-nar.ts'
import { createFakeNarIngest, fakeEtag } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import {
  cacheFiles,
  fetchNar,
  fetchNarinfo,
  gate,
  getNar,
  isSettled,
  never,
  openNar,
  readBody,
  resumeNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import { type Tap, world, type WorldOptions } from '../fakes/substituter-world.ts'
import { claimFor, keys, narsAsked, numbered, upstreamWith } from '../fakes/test-claims.ts'
import { testPolicy, testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash
const content = randomBytes(20_000, 1)

const recalled = (blocked: Blocked): Partial<Policy> => ({
  blocks: [{ blocked, reason: 'recalled' }],
})

/** Changes that leave nobody who may vouch for the path. */
const refusals: Readonly<Record<string, Partial<Policy>>> = {
  'its hash is recalled': recalled({ kind: 'hash', hash }),
  'its package is recalled': recalled({ kind: 'package', package: 'hello', versions: null }),
  'its NAR is recalled': recalled({ kind: 'nar-hash', narHash: `sha256:${key.narHash}` }),
  'its key is recalled': recalled({ kind: 'key', key: publicKeyOf(keys.a) }),
  'its key is taken away': { upstreams: testPolicy(['a'], { a: { keys: [] } }).upstreams },
  'its upstream is removed': { upstreams: [] },
  'its upstream is suspended': { suspended: new Set(['a']) },
  'a rule wants it from elsewhere': { rules: [testRule({ from: ['b'] })] },
  'a rule wants another key': { rules: [testRule({ signedBy: [publicKeyOf(keys.b)] })] },
  'a rule wants two of one mind': { rules: [testRule({ agree: 2 })] },
  'no rule matches any more': { unmatched: 'deny' },
}
const recall = recalled({ kind: 'hash', hash })
/** A change that says nothing of the path. */
const unconcerned = recalled({ kind: 'package', package: 'other', versions: null })

const withA = (t: Tap, options: Partial<WorldOptions> = {}) =>
  world(t, { upstreams: [upstreamWith('a', hello)], ...options })

t.test('what was answered under another policy is not answered again', async (t) => {
  for (const [title, change] of Object.entries(refusals)) {
    t.test(`from memory, from disk or by its URL, where ${title}`, async (t) => {
      const made = await withA(t)
      const before = made.policy()
      await fetchNarinfo(made, hello)
      made.changePolicy(change)
      t.equal((await made.substituter.narinfo(hash)).kind, 'absent', 'from memory')
      t.equal((await getNar(made, key)).kind, 'absent', 'by its URL')
      t.equal((await made.substituter.peek(key)).kind, 'absent')
      made.setPolicy(before)
      const bytes = await storeNar(made, key)
      await fetchNarinfo(made, hello)
      made.changePolicy(change)
      t.equal((await made.substituter.narinfo(hash)).kind, 'absent', 'from disk')
      t.equal((await getNar(made, key)).kind, 'absent')
      t.equal((await made.substituter.peek(key)).kind, 'absent')
      made.setPolicy(before)
      t.match(await made.substituter.narinfo(hash), { kind: 'found', isStored: true })
      t.same(await fetchNar(made, key), bytes, 'and is served again once it is trusted again')
    })
  }
})

t.test('a policy that changes while upstreams are asked', async (t) => {
  for (const [title, change] of Object.entries(refusals)) {
    t.test(`judges their answers: ${title}`, async (t) => {
      const slow = gate()
      const a = createFakeUpstream('a', { narinfo: () => slow.promise.then(() => hello.text) })
      const made = await world(t, { upstreams: [a] })
      const answers = [
        made.substituter.narinfo(hash),
        made.substituter.peek(key),
        getNar(made, key),
      ]
      await isSettled(Promise.all(answers))
      made.changePolicy(change)
      slow.resolve(undefined)
      for (const { kind } of await Promise.all(answers)) t.equal(kind, 'absent')
      t.same(narsAsked(a), [])
      t.same(made.evidence.servedNars, [])
    })
  }

  t.test('has those asked whom it asks besides', async (t) => {
    const slow = gate()
    const a = createFakeUpstream('a', { narinfo: () => slow.promise.then(() => null) })
    const b = upstreamWith('b', ofB)
    const policy = { suspended: new Set(['b']) }
    const made = await world(t, { upstreams: [a, b], policy })
    const answer = made.substituter.narinfo(hash)
    await isSettled(answer)
    made.changePolicy({ suspended: new Set() })
    slow.resolve(undefined)
    t.match(await answer, { kind: 'found', upstream: 'b' })
  })

  t.test('trusts what the earlier one would have refused', async (t) => {
    const slow = gate()
    const a = createFakeUpstream('a', { narinfo: () => slow.promise.then(() => hello.text) })
    const made = await world(t, { upstreams: [a], policy: recall })
    const answer = made.substituter.narinfo(hash)
    await isSettled(answer)
    made.changePolicy({ blocks: [] })
    slow.resolve(undefined)
    t.match(await answer, { kind: 'found', upstream: 'a' })
  })
})

t.test('a policy that changes while a stored record is looked up judges it', async (t) => {
  for (const request of ['narinfo', 'NAR', 'HEAD'] as const) {
    const catalog = openSqliteCatalog(':memory:')
    let [isHeld, lookedUp, open] = [false, gate(), gate()]
    const made = await withA(t, {
      catalog: {
        ...catalog,
        find: async (hash) => {
          const found = await catalog.find(hash)
          lookedUp.resolve(undefined)
          if (isHeld) await open.promise
          return found
        },
      },
    })
    await storeNar(made, key)
    ;[isHeld, lookedUp, open] = [true, gate(), gate()]
    const answer =
      request === 'narinfo'
        ? made.substituter.narinfo(hash)
        : request === 'NAR'
          ? getNar(made, key)
          : made.substituter.peek(key)
    await lookedUp.promise
    made.changePolicy(recall)
    open.resolve(undefined)
    t.equal((await answer).kind, 'absent', request)
    t.equal(made.store.openFiles, 0)
  }
})

t.test('a policy that changes while a stored file is opened', async (t) => {
  const opening = async (t: Tap, change: Partial<Policy>) => {
    let [isHeld, asked, open] = [false, gate(), gate()]
    const made = await withA(t, {
      store: (store) => ({
        ...store,
        open: async (key) => {
          asked.resolve(undefined)
          if (isHeld) await open.promise
          return store.open(key)
        },
      }),
    })
    await storeNar(made, key)
    const before = made.evidence.servedNars.length
    ;[isHeld, asked, open] = [true, gate(), gate()]
    const answer = getNar(made, key)
    await asked.promise
    made.changePolicy(change)
    open.resolve(undefined)
    return { made, answer: await answer, served: () => made.evidence.servedNars.slice(before) }
  }

  t.test('hands nothing out that it refuses, and nothing is recorded', async (t) => {
    const { made, answer, served } = await opening(t, recall)
    t.equal(answer.kind, 'absent')
    t.same(served(), [])
    t.equal(made.store.openFiles, 0)
  })

  t.test('hands out what it trusts, recorded once and under the new one', async (t) => {
    const { made, answer, served } = await opening(t, unconcerned)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    await answer.body[Symbol.asyncDispose]()
    t.match(served(), [{ hash, epoch: made.policy().epoch }])
    t.equal(served().length, 1)
    t.equal(made.store.openFiles, 0)
  })
})

t.test('readers of a stored file', async (t) => {
  for (const [title, change] of Object.entries(refusals)) {
    t.test(`are cut off where ${title}`, async (t) => {
      const made = await withA(t)
      await storeNar(made, key)
      const { body, isStored } = await openNar(made, key)
      t.ok(isStored)
      t.equal(await body.read(Buffer.alloc(100), 0, never), 100)
      made.changePolicy(change)
      await t.rejects(body.read(Buffer.alloc(100), 100, never), TransferBrokenError)
      await t.rejects(body.wholeSize(never), TransferBrokenError)
      await body[Symbol.asyncDispose]()
      t.equal(made.store.openFiles, 0)
    })
  }

  t.test('that wait for the disk get nothing more', async (t) => {
    const [reading, open] = [gate(), gate()]
    const made = await withA(t, {
      store: (store) => ({
        ...store,
        open: async (key) => {
          const file = await store.open(key)
          return (
            file && {
              ...file,
              read: async (buffer, position) => {
                reading.resolve(undefined)
                await open.promise
                return file.read(buffer, position)
              },
            }
          )
        },
      }),
    })
    await storeNar(made, key)
    const { body } = await openNar(made, key)
    const read = body.read(Buffer.alloc(100), 0, never)
    await reading.promise
    made.changePolicy(recall)
    open.resolve(undefined)
    await t.rejects(read, TransferBrokenError)
    await body[Symbol.asyncDispose]()
  })

  t.test('read on where the change does not concern the path', async (t) => {
    const made = await withA(t)
    const bytes = await storeNar(made, key)
    const { body } = await openNar(made, key)
    await body.read(Buffer.alloc(100), 0, never)
    made.changePolicy(unconcerned)
    t.same(await readBody(body), bytes)
    t.equal(await body.wholeSize(never), bytes.length)
    await body[Symbol.asyncDispose]()
  })

  t.test('stay cut off, and whoever comes when it is trusted again is served', async (t) => {
    const made = await withA(t)
    const bytes = await storeNar(made, key)
    const { body } = await openNar(made, key)
    made.changePolicy(recall)
    made.changePolicy({ blocks: [] })
    await t.rejects(body.read(Buffer.alloc(100), 0, never), TransferBrokenError)
    await body[Symbol.asyncDispose]()
    t.same(await fetchNar(made, key), bytes)
  })
})

t.test('a transfer that began under another policy', async (t) => {
  /** A world with a transfer of which half was released, and a reader who has read a part of it. */
  const halfway = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const [released, rest, ended] = [gate(), gate(), gate()]
    let isAborted = false
    const ingest = createFakeNarIngest(async (run) => {
      try {
        run.events.released(await run.append(content.subarray(0, 10_000)), fakeEtag)
        released.resolve(undefined)
        await rest.promise
        await run.append(content.subarray(10_000))
        return await run.verified()
      } finally {
        isAborted = run.signal.aborted
        ended.resolve(undefined)
      }
    })
    const made = await withA(t, { ingest, ...options })
    const { body } = await openNar(made, key)
    await body.read(Buffer.alloc(100), 0, never)
    const finish = async (): Promise<void> => {
      rest.resolve(undefined)
      await ended.promise
      await made.transfers.idle()
    }
    return { made, body, ingest, finish, isAborted: () => isAborted }
  }

  for (const [title, change] of Object.entries(refusals)) {
    t.test(`is ended, its readers cut off, and nothing kept, where ${title}`, async (t) => {
      const { made, body, finish, isAborted } = await halfway(t)
      const waiting = body.read(Buffer.alloc(100), 10_000, never)
      const size = body.wholeSize(never)
      const failures = Promise.all([
        t.rejects(waiting, TransferBrokenError),
        t.rejects(size, TransferBrokenError),
      ])
      made.changePolicy(change)
      await failures
      await t.rejects(body.read(Buffer.alloc(100), 0, never), TransferBrokenError, 'what is there')
      await body[Symbol.asyncDispose]()
      t.equal(made.transfers.running(key), null, 'nobody joins it')
      t.equal((await getNar(made, key)).kind, 'absent')
      t.equal((await resumeNar(made, key)).kind, 'broken')
      await finish()
      t.ok(isAborted())
      t.same(await cacheFiles(made), [])
      t.same(made.keeper.totals(), { count: 0, bytes: 0 })
      t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
    })
  }

  t.test('goes on where the change does not concern the path', async (t) => {
    const { made, body, finish } = await halfway(t)
    made.changePolicy(unconcerned)
    await finish()
    t.same(await readBody(body), content)
    await body[Symbol.asyncDispose]()
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
  })

  t.test('goes on for another one’s word, and is not kept under the old one', async (t) => {
    const upstreams = [upstreamWith('a', hello), upstreamWith('b', ofB)]
    const { made, body, finish } = await halfway(t, { upstreams })
    made.changePolicy({ suspended: new Set(['a']) })
    await finish()
    t.same(await readBody(body), content)
    await body[Symbol.asyncDispose]()
    t.same(await made.catalog.find(hash), [])
    t.match(await made.substituter.narinfo(hash), { upstream: 'b', isStored: false })
  })

  t.test('gives nothing to who waits for its first byte', async (t) => {
    const [begun, open] = [gate(), gate()]
    const ingest = createFakeNarIngest(async (run) => {
      begun.resolve(undefined)
      await open.promise
      await run.append(content)
      return run.verified()
    })
    const made = await withA(t, { ingest })
    const waiting = [getNar(made, key), getNar(made, key)]
    await begun.promise
    made.changePolicy(recall)
    for (const { kind } of await Promise.all(waiting)) t.equal(kind, 'absent')
    open.resolve(undefined)
    await made.transfers.idle()
    t.same(await cacheFiles(made), [])
    t.same(made.evidence.servedNars, [])
  })
})

t.test('a policy that changes while a NAR is kept', async (t) => {
  const keeping = async (t: Tap, change: Partial<Policy>) => {
    const [committing, open] = [gate(), gate()]
    const store = (store: NarStore): NarStore => ({
      ...store,
      stage: async () => {
        const staged = await store.stage()
        return {
          ...staged,
          commit: async (key, narinfo) => {
            committing.resolve(undefined)
            await open.promise
            return await staged.commit(key, narinfo)
          },
          [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
        }
      },
    })
    const made = await withA(t, { store })
    const { body } = await openNar(made, key)
    await committing.promise
    made.changePolicy(change)
    open.resolve(undefined)
    await made.transfers.idle()
    return { made, body }
  }

  t.test('leaves nothing of it where it is refused, and cuts off who reads', async (t) => {
    const { made, body } = await keeping(t, recall)
    await t.rejects(body.read(Buffer.alloc(100), 0, never), TransferBrokenError)
    await body[Symbol.asyncDispose]()
    t.same(await cacheFiles(made), [])
    t.same(await made.catalog.totals(), { count: 0, bytes: 0 })
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.equal(made.store.openFiles, 0)
  })

  t.test('changes nothing where it does not concern the path', async (t) => {
    const { made, body } = await keeping(t, unconcerned)
    t.ok(Buffer.compare(zstdDecompressSync(await readBody(body)), patternNar) === 0)
    await body[Symbol.asyncDispose]()
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
    const text = await readFile(join(made.dir, 'cache', `${hash}.narinfo`), 'utf8')
    t.equal(text, await fetchNarinfo(made, hello))
  })
})

t.test('a policy of another order is gone by at once', async (t) => {
  const other = claimFor(randomBytes(1000, 7), { signers: [keys.b], url: 'nar/b.nar' })
  const made = await world(t, { upstreams: [upstreamWith('a', hello), upstreamWith('b', other)] })
  t.match(await made.substituter.narinfo(hash), { upstream: 'a' })
  made.changePolicy({ upstreams: made.policy().upstreams.toReversed() })
  t.match(await made.substituter.narinfo(hash), { upstream: 'b' })
})

t.test('names that were expected are forgotten with the policy that trusted them', async (t) => {
  const dep = numbered(1, { signers: [keys.b] })
  const references = [
    { ...dep.narinfo.storePath, name: 'x', baseName: `${dep.key.storePathHash}-x` },
  ]
  const top = claimFor(patternNar, { references })
  const made = await world(t, { upstreams: [upstreamWith('a', top), upstreamWith('b', dep)] })
  await fetchNarinfo(made, top)
  t.match(await made.substituter.narinfo(dep.key.storePathHash), {
    kind: 'absent',
    slots: [{ upstream: 'a' }, { answer: { verdict: { reason: 'unexpected-name' } } }],
  })
  made.changePolicy(unconcerned)
  t.match(await made.substituter.narinfo(dep.key.storePathHash), { kind: 'found', upstream: 'b' })
})
