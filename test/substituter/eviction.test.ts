import { equal } from 'node:assert/strict'
import t from 'tap'
import { narFileName, type NarKey } from '../../src/nix/nar-key.ts'
import { randomBytes } from '../fakes/encode-nar.ts'
import { createFakeNarIngest } from '../fakes/fake-nar-ingest.ts'
import { must } from '../nix/fixtures.ts'
import { numbered, upstreamWith } from '../fakes/test-claims.ts'
import { world } from '../fakes/substituter-world.ts'
import { getNar, readBody, fetchNar, cacheFiles } from '../fakes/substituter-client.ts'

t.test('eviction', async (t) => {
  const claims = Array.from({ length: 8 }, (_, index) => numbered(index))
  const keyOf = (number: number): NarKey => must(claims[number]).key
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

  t.test('dropping twice counts once', async (t) => {
    const { made, left } = await filled(t, 2)
    const stored = must((await made.catalog.find(keyOf(0).storePathHash))[0])
    await Promise.all([made.keeper.drop(stored), made.keeper.drop(stored)])
    t.same(await left(), [1])
  })
})
