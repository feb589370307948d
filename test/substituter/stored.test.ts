import { rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { narFileName } from '../../src/nix/nar-key.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { type FakeUpstream } from '../fakes/fake-upstream.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must } from '../nix/fixtures.ts'
import { keys, claimFor, upstreamWith, down } from '../fakes/test-claims.ts'
import { world, type Tap, type WorldOptions } from '../fakes/substituter-world.ts'
import { getNar, fetchNar } from '../fakes/substituter-client.ts'

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

  t.test('without a record is taken up once, however many ask', async (t) => {
    const { made, a, bytes } = await storedWorld(t)
    const lost = await world(t, { upstreams: [a], dir: made.dir })
    const all = await Promise.all(Array.from({ length: 5 }, () => fetchNar(lost, key)))
    t.ok(all.every((one) => Buffer.compare(one, bytes) === 0))
    t.same(lost.keeper.totals(), await lost.catalog.totals())
    t.same(lost.keeper.totals(), { count: 1, bytes: bytes.length })
  })
})
