import { equal } from 'node:assert/strict'
import { rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { narFileName, type NarFileKey } from '../../src/nix/nar-key.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import type { ListOutcome, NarReader } from '../../src/ports/nar-reader.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createListings } from '../../src/substituter/listings.ts'
import { patternNar, randomBytes, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest } from '../fakes/fake-nar-ingest.ts'
import type { FakeUpstream } from '../fakes/fake-upstream.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must } from '../nix/fixtures.ts'
import {
  claimFor,
  contentAddressed,
  down,
  keys,
  numbered,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { world, type Tap, type World, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  cacheFiles,
  fetchNar,
  gate,
  getNar,
  never,
  readBody,
  storeNar,
} from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash

t.test('what is stored', async (t) => {
  /** A world in which the NAR is stored, and its folder and catalog. */
  const storedWorld = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const catalog = openSqliteCatalog(':memory:')
    const a = upstreamWith('a', hello)
    const made = await world(t, { upstreams: [a], catalog, ...options })
    const bytes = await fetchNar(made, key)
    await made.transfers.idle()
    a.asked.length = 0
    return { made, a, catalog, bytes, file: join(made.dir, 'cache', 'nar', narFileName(key)) }
  }

  t.test('is not served when its key is trusted no more', async (t) => {
    const { made, catalog, a } = await storedWorld(t)
    for (const keysNow of [[], [publicKeyOf(keys.b)]]) {
      const of = { a: { keys: keysNow } }
      const later = await world(t, { upstreams: [a], catalog, dir: made.dir, of })
      t.match(await later.substituter.narinfo(hash), { kind: 'absent' })
      t.match(await getNar(later, key), { kind: 'absent' })
      t.match(await later.substituter.peek(key), { kind: 'absent' })
      t.same(await later.finder.stored(hash), [])
    }
    const without = await world(t, { upstreams: [], catalog, dir: made.dir })
    t.match(await without.substituter.narinfo(hash), { kind: 'absent' }, 'its upstream is gone')
    t.match(await getNar(without, key), { kind: 'absent' })
  })

  t.test('of an upstream that is trusted no more is served for another one’s claim', async (t) => {
    const { made, catalog, bytes } = await storedWorld(t)
    const b = upstreamWith('b', claimFor(patternNar, { signers: [keys.b] }))
    const later = await world(t, { upstreams: [b], catalog, dir: made.dir })
    t.match(await later.substituter.narinfo(hash), { upstream: 'b' })
    t.same(await fetchNar(later, key), bytes)
    t.notOk(
      b.asked.some((asked) => asked.startsWith('nar ')),
      'the file is taken over',
    )
    t.match(await later.catalog.find(hash), [{ upstream: 'b' }])
    t.match(later.keeper.totals(), { count: 1, bytes: bytes.length })
  })

  t.test(
    'and that its disk does not give any more is fetched again by whoever asks next',
    async (t) => {
      let isLost = false
      const store = (disk: NarStore): NarStore => ({
        ...disk,
        async open(key) {
          const file = await disk.open(key)
          if (file === null || !isLost) return file
          const eio = Object.assign(new Error('input/output error'), { code: 'EIO' })
          return {
            ...file,
            size: () => file.size(),
            close: () => file.close(),
            read: () => Promise.reject(eio),
          }
        },
      })
      const { made, a, bytes } = await storedWorld(t, { store })
      isLost = true
      const answer = await getNar(made, key)
      if (answer.kind !== 'found') throw new Error('it is stored')
      await t.rejects(readBody(answer.body), { code: 'EIO' })
      await answer.body[Symbol.asyncDispose]()
      isLost = false
      while ((await made.catalog.find(hash)).length > 0) await setImmediate()
      t.match(made.log.named('store.unreadable'), [{ nar: narFileName(key) }])
      t.same(await fetchNar(made, key), bytes)
      t.same(a.asked.filter((asked) => asked.startsWith('nar ')).length, 1)
    },
  )

  t.test('and has vanished, or was cut, is fetched again', async (t) => {
    for (const harm of [rm, (file: string) => truncate(file, 10)]) {
      const { made, a, bytes, file } = await storedWorld(t, { dir: workFolder(t) })
      await made.substituter.narinfo(hash)
      const before = must((await made.catalog.find(hash))[0])
      made.clock.advance(1000)
      await harm(file)
      t.same(await fetchNar(made, key), bytes)
      await made.transfers.idle()
      t.same(a.asked, ['nar nar/hello.nar'])
      const [after, ...more] = await made.catalog.find(hash)
      t.same(more, [])
      t.equal(after?.storedAtMs, before.storedAtMs + 1000, 'the record is a new one')
      t.equal((await stat(file)).size, bytes.length)
      t.same(made.keeper.totals(), { count: 1, bytes: bytes.length })
      t.match(await made.substituter.narinfo(hash), { isStored: true })
    }
  })

  t.test('and is a link in its place leads nobody out of the store', async (t) => {
    const { made, catalog, bytes, file } = await storedWorld(t)
    const secret = join(made.dir, 'secret')
    await writeFile(secret, Buffer.alloc(bytes.length, 's'))
    await rm(file)
    await symlink(secret, file)
    t.same(await fetchNar(made, key), bytes, 'it is fetched again')
    await made.transfers.idle()
    t.match(await catalog.find(hash), { length: 1 })
    t.equal((await stat(secret)).size, bytes.length)
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`].sort())
  })

  t.test('and has vanished, while nobody has it, is not said to be there', async (t) => {
    const { made, a, file } = await storedWorld(t)
    a.answers.narinfo = () => null
    const later = await world(t, { upstreams: [a], catalog: made.catalog, dir: made.dir })
    t.match(await later.substituter.narinfo(hash), { kind: 'found' })
    await rm(file)
    t.match(await getNar(later, key), { kind: 'absent' })
    t.match(await later.substituter.narinfo(hash), { kind: 'absent' })
    t.same(later.keeper.totals(), { count: 0, bytes: 0 })
  })

  t.test('without a record is taken up after a trusted claim, and never without one', async (t) => {
    const { made, a, bytes } = await storedWorld(t)
    const untrusted: Record<string, FakeUpstream['answers']['narinfo']> = {
      absent: () => null,
      unknown: down,
      refused: () => claimFor(patternNar, { signers: [keys.stranger] }).text,
      'of another NAR': () => claimFor(smallNar).text,
    }
    for (const [name, narinfo] of Object.entries(untrusted)) {
      a.answers.narinfo = must(narinfo)
      const lost = await world(t, { upstreams: [a], dir: made.dir })
      t.not((await getNar(lost, key)).kind, 'found', name)
      t.same(lost.keeper.totals(), { count: 0, bytes: 0 }, name)
    }
    a.answers.narinfo = () => hello.text
    const lost = await world(t, { upstreams: [a], dir: made.dir })
    t.match(await lost.substituter.narinfo(hash), { isStored: false })
    t.same(await fetchNar(lost, key), bytes)
    t.notOk(
      a.asked.some((asked) => asked.startsWith('nar ')),
      'nothing is fetched',
    )
    t.match(await lost.substituter.narinfo(hash), { isStored: true })
    t.same(lost.keeper.totals(), { count: 1, bytes: bytes.length })
    const [before] = await made.catalog.find(hash)
    const [after] = await lost.catalog.find(hash)
    t.same([after?.fileHash, after?.fileBytes], [before?.fileHash, before?.fileBytes])
    t.equal(lost.store.openFiles, 0)
  })

  t.test('without a record and is wrong goes, and not what comes in its place', async (t) => {
    const { made, a, bytes, file } = await storedWorld(t)
    await writeFile(file, Buffer.alloc(bytes.length))
    const checks = [gate(), gate()]
    let begun = 0
    const verifyStored = async (): Promise<boolean> => {
      begun += 1
      await checks[begun - 1]?.promise
      return false
    }
    const lost = await world(t, { upstreams: [a], dir: made.dir, verifyStored })
    const both = [fetchNar(lost, key), fetchNar(lost, key)]
    while (begun < 2) await setImmediate()
    for (const check of checks) {
      check.resolve(undefined)
      await Promise.race(both)
      await lost.transfers.idle()
    }
    for (const got of await Promise.all(both)) t.same(got, bytes)
    t.equal((await stat(file)).size, bytes.length)
    t.match(lost.keeper.totals(), { count: 1 })
  })

  t.test('without a record is taken up once, however many ask', async (t) => {
    const { made, a, bytes } = await storedWorld(t)
    const lost = await world(t, { upstreams: [a], dir: made.dir })
    const all = await Promise.all(Array.from({ length: 5 }, () => fetchNar(lost, key)))
    t.ok(all.every((one) => Buffer.compare(one, bytes) === 0))
    t.same(lost.keeper.totals(), await lost.catalog.totals())
    t.same(lost.keeper.totals(), { count: 1, bytes: bytes.length })
  })
})

t.test('eviction', async (t) => {
  const claims = Array.from({ length: 8 }, (_, index) => numbered(index))
  const keyOf = (number: number): NarFileKey => must(claims[number]).key
  const ingest = createFakeNarIngest(async (run) => {
    await run.append(randomBytes(1000, 1))
    return run.verified()
  })
  const filled = async (t: Tap, count: number) => {
    const evicted: number[] = []
    const made = await world(t, {
      upstreams: [upstreamWith('a', ...claims)],
      ingest,
      maxBytes: 5000,
      meter: { narEvicted: (bytes) => evicted.push(bytes) },
    })
    const store = async (number: number): Promise<void> => {
      made.clock.advance(1000)
      await fetchNar(made, keyOf(number))
      await made.transfers.idle()
      await made.keeper.flush()
    }
    for (let number = 0; number < count; number += 1) await store(number)
    const left = async (): Promise<readonly number[]> => {
      const numbers: number[] = []
      for (const [number, { key }] of claims.entries()) {
        const isRecorded = (await made.catalog.find(key.storePathHash)).length > 0
        const files = await cacheFiles(made)
        equal(files.includes(narFileName(key)), isRecorded, 'its file')
        equal(files.includes(`${key.storePathHash}.narinfo`), isRecorded, 'its narinfo')
        if (isRecorded) numbers.push(number)
      }
      const totals = { count: numbers.length, bytes: numbers.length * 1000 }
      t.same(made.keeper.totals(), totals)
      t.same(await made.catalog.totals(), totals)
      return numbers
    }
    return { made, store, left, evicted }
  }
  type Tap = { same(found: unknown, wanted: unknown): unknown } & Parameters<typeof world>[0]

  t.test('removes nothing up to the limit, and the longest unused above it', async (t) => {
    const { store, left, evicted } = await filled(t, 5)
    t.same(await left(), [0, 1, 2, 3, 4])
    await store(5)
    // Down to 95 % of the limit.
    t.same(await left(), [2, 3, 4, 5])
    t.same(evicted, [1000, 1000])
    await store(6)
    t.same(await left(), [2, 3, 4, 5, 6])
  })

  t.test('spares the others where a NAR comes that is larger than all of the cache', async (t) => {
    const [small, large] = [numbered(1), claimFor(patternNar, { compression: 'none' })]
    const upstreams = [upstreamWith('a', small, large)]
    const made = await world(t, { upstreams, encoding: 'upstream', maxBytes: 10_000 })
    await storeNar(made, { ...small.key, compression: 'none' })
    const largeKey = { ...large.key, compression: 'none' } as const
    t.same(await storeNar(made, largeKey), Buffer.from(patternNar), 'it is handed out all the same')
    await made.keeper.flush()
    t.match(await made.catalog.find(small.key.storePathHash), { length: 1 })
    t.same(await made.catalog.find(hash), [])
  })

  t.test('goes by uses: of the NAR and of its narinfo', async (t) => {
    const { made, store, left } = await filled(t, 5)
    made.clock.advance(1000)
    await made.substituter.narinfo(keyOf(0).storePathHash)
    await fetchNar(made, keyOf(2))
    await store(5)
    t.same(await left(), [0, 2, 4, 5])
  })

  t.test('forgets the answers about what it removed', async (t) => {
    const { made, store } = await filled(t, 5)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: true })
    await made.keeper.flush()
    for (const number of [2, 3, 4, 0]) {
      made.clock.advance(1000)
      made.keeper.used(keyOf(number))
      await made.keeper.flush()
    }
    await store(5)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: false })
    await store(1)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: true })
  })

  t.test('disturbs nobody who reads', async (t) => {
    const { made, store, left } = await filled(t, 1)
    const answer = await getNar(made, keyOf(0))
    if (answer.kind !== 'found') throw new Error(answer.kind)
    for (const number of [1, 2, 3, 4, 5]) await store(number)
    t.notOk((await left()).includes(0))
    t.same(await readBody(answer.body), randomBytes(1000, 1))
    await answer.body[Symbol.asyncDispose]()
    t.equal(made.store.openFiles, 0)
  })

  t.test('happens at the start where the limit was lowered', async (t) => {
    const { made } = await filled(t, 5)
    const lowered = await world(t, {
      upstreams: [],
      catalog: made.catalog,
      dir: made.dir,
      maxBytes: 2000,
    })
    await lowered.keeper.flush()
    t.same(lowered.keeper.totals(), { count: 1, bytes: 1000 })
    t.match(await lowered.catalog.find(keyOf(4).storePathHash), [{ key: keyOf(4) }])
  })

  t.test('a use of what is not stored is passed over', async (t) => {
    const { made, left } = await filled(t, 1)
    made.keeper.used(keyOf(7))
    await made.keeper.flush()
    t.same(await left(), [0])
  })

  t.test('a NAR that comes again while its file is removed stays', async (t) => {
    const removing = gate()
    const mayRemove = gate()
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      store: (store) => ({
        ...store,
        remove: async (key) => {
          removing.resolve(undefined)
          await mayRemove.promise
          await store.remove(key)
        },
      }),
    })
    await storeNar(made, hello.key)
    const [stored] = await made.catalog.find(hello.key.storePathHash)
    const dropped = made.keeper.drop(must(stored))
    await removing.promise
    const fetched = fetchNar(made, hello.key)
    mayRemove.resolve(undefined)
    await Promise.all([dropped, fetched])
    await made.transfers.idle()
    t.match(await made.catalog.find(hello.key.storePathHash), [{ key: hello.key }])
    t.ok((await cacheFiles(made)).includes(narFileName(hello.key)), 'its file')
  })

  t.test('dropping twice counts once', async (t) => {
    const { made, left } = await filled(t, 2)
    const stored = must((await made.catalog.find(keyOf(0).storePathHash))[0])
    await Promise.all([made.keeper.drop(stored), made.keeper.drop(stored)])
    t.same(await left(), [1])
  })
})

t.test('listings', async (t) => {
  /** Listings by a reader that answers when the test lets it. */
  const listingsOf = (made: World) => {
    const begun: { readonly signal: AbortSignal; readonly end: (outcome: ListOutcome) => void }[] =
      []
    const reader: NarReader = {
      list: (_, promised, signal) => {
        equal(Number(promised.narSize), patternNar.length)
        const { promise, resolve, reject } = Promise.withResolvers<ListOutcome>()
        signal.addEventListener('abort', () => {
          reject(signal.reason)
        })
        begun.push({ signal, end: resolve })
        return promise
      },
      verify: () => Promise.reject(new Error('nothing is verified for a listing')),
      async *read() {
        yield await Promise.resolve(Buffer.from('some bytes'))
      },
    }
    return { begun, listings: createListings({ ...made, reader }) }
  }
  const storedWorld = async (t: Tap) => {
    const catalog = openSqliteCatalog(':memory:')
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], catalog })
    await fetchNar(made, key)
    await made.transfers.idle()
    return { made, catalog, ...listingsOf(made) }
  }
  /** The job of that number, once it began. */
  const job = async ({ begun }: ReturnType<typeof listingsOf>, number: number) => {
    while (begun[number] === undefined) await setImmediate()
    return begun[number]
  }
  const listed: ListOutcome = { kind: 'listed', listing: Buffer.from('{}') }

  t.test('are made once for all who ask, and again after a change', async (t) => {
    const made = await storedWorld(t)
    const { listings, begun } = made
    const all = Array.from({ length: 5 }, () => listings.list(hash, never))
    ;(await job(made, 0)).end(listed)
    for (const answer of await Promise.all(all)) t.match(answer, { kind: 'found', key })
    t.match(await listings.list(hash, never), { kind: 'found' }, 'remembered')
    t.equal(begun.length, 1)
    for (const change of ['a NAR', 'the policy'] as const) {
      if (change === 'a NAR') listings.changed(hash)
      else listings.policyChanged()
      const again = listings.list(hash, never)
      ;(await job(made, begun.length)).end(listed)
      t.match(await again, { kind: 'found' })
    }
    t.equal(begun.length, 3)
    t.equal(made.made.store.openFiles, 0)
  })

  t.test('are given up only when everybody has left', async (t) => {
    const made = await storedWorld(t)
    const { listings } = made
    const [one, other] = [new AbortController(), new AbortController()]
    const first = listings.list(hash, one.signal)
    const second = listings.list(hash, other.signal)
    const begun = await job(made, 0)
    one.abort()
    await t.rejects(first, { name: 'AbortError' })
    t.equal(begun.signal.aborted, false)
    other.abort()
    await t.rejects(second, { name: 'AbortError' })
    t.equal(begun.signal.aborted, true)
    const third = listings.list(hash, never)
    ;(await job(made, 1)).end(listed)
    t.match(await third, { kind: 'found' }, 'who comes later is not aborted with them')
    t.equal(made.made.store.openFiles, 0)
  })

  t.test('are of what is stored and trusted now, whoever vouches for it', async (t) => {
    const { made, catalog, listings, begun } = await storedWorld(t)
    const elsewhere = numbered(1)
    t.same(await listings.list(elsewhere.key.storePathHash, never), { kind: 'not-stored' })
    const strangers = { signers: [keys.stranger] }
    for (const [claim, kind] of [
      [claimFor(patternNar, { signers: [keys.b] }), 'found'],
      [claimFor(patternNar, strangers), 'absent'],
    ] as const) {
      const b = upstreamWith('b', claim)
      const later = await world(t, { upstreams: [b], catalog, dir: made.dir })
      const its = listingsOf(later)
      const asked = its.listings.list(hash, never)
      if (kind === 'found') (await job(its, 0)).end(listed)
      t.match(await asked, { kind })
      const part = await its.listings.read(key, { offset: 0, size: 10 }, never)
      t.equal(part !== null, kind === 'found')
      if (part !== null) for await (const piece of part) t.equal(piece.length, 10)
      t.equal(later.store.openFiles, 0)
      t.notOk(b.asked.some((asked) => asked.startsWith('nar ')))
    }
    t.equal(begun.length, 0)
  })

  t.test('are of no file that was not held against the content address', async (t) => {
    const { narinfo } = contentAddressed()
    const { storePath, ca } = narinfo
    const signed = claimFor(patternNar, { storePath })
    const catalog = openSqliteCatalog(':memory:')
    const before = await world(t, { upstreams: [upstreamWith('a', signed)], catalog })
    await storeNar(before, signed.key)
    // Anybody can say so of a path: only the NAR would prove it.
    const said = claimFor(patternNar, { storePath, ca, signers: [] })
    const b = upstreamWith('b', said)
    const later = await world(t, { upstreams: [b], catalog, dir: before.dir })
    const { listings, begun } = listingsOf(later)
    t.match(await later.substituter.narinfo(storePath.hash), { kind: 'found', isStored: false })
    t.equal(await listings.read(signed.key, { offset: 0, size: 10 }, never), null)
    t.same(await listings.list(storePath.hash, never), { kind: 'not-stored' })
    t.equal(begun.length, 0)
  })

  t.test('a policy that changes meanwhile decides', async (t) => {
    const made = await storedWorld(t)
    const asked = made.listings.list(hash, never)
    const begun = await job(made, 0)
    made.made.changePolicy({ upstreams: [] })
    begun.end(listed)
    t.match(await asked, { kind: 'absent' })
  })

  t.test('of a damaged file there are none, and it goes', async (t) => {
    const made = await storedWorld(t)
    const asked = made.listings.list(hash, never)
    ;(await job(made, 0)).end({ kind: 'corrupt', why: 'a test' })
    t.same(await asked, { kind: 'not-stored' })
    t.same(made.made.keeper.totals(), { count: 0, bytes: 0 })
    t.same(await cacheFiles(made.made), [])
  })
})
