/** What is stored while its claims are not all that the policy wants: agreement, certainty, and files without a record. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { narFileName } from '../../src/nix/nar-key.ts'
import { publicKeyOf, type SecretKey } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import {
  fetchNar,
  fetchNarinfo,
  gate,
  getNar,
  openNar,
  readBody,
  storeNar,
} from '../fakes/substituter-client.ts'
import { type Tap, world, type WorldOptions } from '../fakes/substituter-world.ts'
import { claimFor, down, keys, narsAsked, upstreamWith } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash
const upstreamDown = (name: string): FakeUpstream =>
  createFakeUpstream(name, { narinfo: down, nar: down })

t.test('what two upstreams must agree on', async (t) => {
  const policy = { rules: [testRule({ agree: 2 })] }
  const bothDown = [upstreamDown('a'), upstreamDown('b')]
  const bothUp = () => [upstreamWith('a', hello), upstreamWith('b', ofB)] as const

  t.test(
    'is stored with both claims, and they still agree offline and after a restart',
    async (t) => {
      const made = await world(t, { upstreams: bothUp(), policy })
      const bytes = await storeNar(made, key)
      t.match(await made.catalog.find(hash), [
        { upstream: 'a', claim: hello.text, witnesses: [{ upstream: 'b', claim: ofB.text }] },
      ])
      const { catalog, dir } = made
      const later = await world(t, { upstreams: bothDown, policy, catalog, dir })
      t.match(await later.substituter.narinfo(hash), { upstream: 'a', isStored: true })
      t.same(await fetchNar(later, key), bytes)
      t.match(await later.substituter.peek(key), { kind: 'found', size: bytes.length })
    },
  )

  t.test('does not agree with itself: one key, or one upstream, is one voice', async (t) => {
    const sameKey = upstreamWith('b', hello)
    const upstreams = [upstreamWith('a', hello), sameKey]
    const of = { b: { keys: [publicKeyOf(keys.a)] } }
    const made = await world(t, { upstreams, policy, of })
    t.match(await made.substituter.narinfo(hash), {
      kind: 'absent',
      slots: [{ answer: { verdict: { reason: 'no-agreement' } } }, {}],
    })
    t.equal((await getNar(made, key)).kind, 'absent')
    t.same(narsAsked(sameKey), [])
  })

  t.test('is not served for one stored claim, until both agree again', async (t) => {
    for (const first of ['narinfo', 'NAR'] as const) {
      const before = await world(t, { upstreams: [upstreamWith('a', hello)] })
      const bytes = await storeNar(before, key)
      const { catalog, dir } = before
      const offline = await world(t, { upstreams: bothDown, policy, catalog, dir })
      t.equal((await offline.substituter.narinfo(hash)).kind, 'unknown')
      t.equal((await getNar(offline, key)).kind, 'unknown')
      t.equal((await offline.substituter.peek(key)).kind, 'unknown')
      const half = [upstreamWith('a', hello), createFakeUpstream('b')]
      const alone = await world(t, { upstreams: half, policy, catalog, dir })
      t.equal((await alone.substituter.narinfo(hash)).kind, 'absent')
      t.equal((await getNar(alone, key)).kind, 'absent')
      const upstreams = bothUp()
      const agreed = await world(t, { upstreams, policy, catalog, dir })
      if (first === 'narinfo') {
        t.match(await agreed.substituter.narinfo(hash), { upstream: 'a', isStored: true })
      }
      t.same(await fetchNar(agreed, key), bytes)
      t.same(upstreams.flatMap(narsAsked), [], 'the file is taken up, not fetched')
      t.match(await catalog.find(hash), [{ upstream: 'a', witnesses: [{ upstream: 'b' }] }], first)
      const again = await world(t, { upstreams: bothDown, policy, catalog, dir })
      t.match(await again.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    }
  })

  t.test('is not served where the upstreams disagree now, whatever is stored', async (t) => {
    const before = await world(t, { upstreams: [upstreamWith('a', hello)] })
    await storeNar(before, key)
    const { catalog, dir } = before
    const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/b.nar' })
    const upstreams = [upstreamWith('a', hello), upstreamWith('b', other)]
    const made = await world(t, { upstreams, policy, catalog, dir })
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    for (const nar of [key, other.key]) t.equal((await getNar(made, nar)).kind, 'absent')
  })
})

t.test('a choice that was made while a better upstream was down', async (t) => {
  /** A world in which only `b` answered, and its NAR is stored. */
  const uncertain = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const a = upstreamDown('a')
    const b = upstreamWith('b', ofB)
    const made = await world(t, { upstreams: [a, b], ...options })
    const bytes = await storeNar(made, key)
    a.asked.length = 0
    b.asked.length = 0
    return { made, a, b, bytes }
  }
  const laterMs = 30_001

  t.test('is stored, and not certain', async (t) => {
    const { made } = await uncertain(t)
    t.match(await made.catalog.find(hash), [{ upstream: 'b', certainIn: null }])
  })

  t.test('is served from the store for a while, without anybody being asked', async (t) => {
    const { made, a, b, bytes } = await uncertain(t)
    t.match(await made.substituter.narinfo(hash), { upstream: 'b', isStored: true })
    t.same(await fetchNar(made, key), bytes)
    t.same([...a.asked, ...b.asked], [])
  })

  t.test('is served while the better one stays down, whoever else is down too', async (t) => {
    const { made, a, b, bytes } = await uncertain(t)
    for (const isDown of [false, true]) {
      if (isDown) b.answers.narinfo = down
      a.asked.length = 0
      made.clock.advance(laterMs)
      t.match(await made.substituter.narinfo(hash), { upstream: 'b', isStored: true })
      t.same(a.asked, [`narinfo ${hash}`], 'it is asked again')
      t.same(await fetchNar(made, key), bytes)
    }
    t.same([...narsAsked(a), ...narsAsked(b)], [])
    t.match(await made.catalog.find(hash), [{ upstream: 'b', certainIn: null }])
    t.match(made.keeper.totals(), { count: 1, bytes: bytes.length })
  })

  t.test('becomes certain under the better one’s word, where that is the same', async (t) => {
    const { made, a, b, bytes } = await uncertain(t)
    const storedAtMs = (await made.catalog.find(hash))[0]?.storedAtMs
    a.answers.narinfo = () => hello.text
    made.clock.advance(laterMs)
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    t.same(await fetchNar(made, key), bytes)
    t.same([...narsAsked(a), ...narsAsked(b)], [], 'the file is not fetched again')
    t.match(await made.catalog.find(hash), [{ upstream: 'a', certainIn: 'epoch-1', storedAtMs }])
    a.asked.length = 0
    b.asked.length = 0
    made.clock.advance(24 * 60 * 60_000)
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    t.same([...a.asked, ...b.asked], [], 'and nobody is asked any more')
  })

  t.test('becomes certain where the better one does not have it', async (t) => {
    const { made, a } = await uncertain(t)
    a.answers.narinfo = () => null
    made.clock.advance(laterMs)
    t.match(await made.substituter.narinfo(hash), { upstream: 'b', isStored: true })
    t.match(await made.catalog.find(hash), [{ upstream: 'b', certainIn: 'epoch-1' }])
  })

  t.test('gives way to the better one’s word, where that is another', async (t) => {
    const { made, a } = await uncertain(t)
    const other = claimFor(smallNar, { url: 'nar/other.nar' })
    a.answers.narinfo = () => other.text
    a.answers.nar = upstreamWith('a', other).answers.nar ?? down
    made.clock.advance(laterMs)
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: false })
    await storeNar(made, other.key)
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    t.ok((await fetchNarinfo(made, hello)).includes(`URL: nar/${narFileName(other.key)}`))
  })

  t.test('is asked for again after a restart too', async (t) => {
    const { made, a } = await uncertain(t)
    a.answers.narinfo = () => hello.text
    const { catalog, dir } = made
    const later = await world(t, { upstreams: [a, upstreamWith('b', ofB)], catalog, dir })
    t.match(await later.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    t.match(await catalog.find(hash), [{ upstream: 'a', certainIn: 'epoch-1' }])
  })

  t.test('keeps what an upstream said that has not answered again', async (t) => {
    const c = upstreamWith('c', claimFor(patternNar, { signers: [keys.b], url: 'nar/c.nar' }))
    const a = upstreamDown('a')
    const b = upstreamWith('b', ofB)
    const of = { c: { keys: [publicKeyOf(keys.b)] } }
    const made = await world(t, { upstreams: [a, b, c], of })
    await made.finder.inquire(hash).settled
    await storeNar(made, key)
    t.match(await made.catalog.find(hash), [{ upstream: 'b', witnesses: [{ upstream: 'c' }] }])
    c.answers.narinfo = down
    made.clock.advance(laterMs)
    await made.substituter.narinfo(hash)
    t.match(await made.catalog.find(hash), [{ upstream: 'b', witnesses: [{ upstream: 'c' }] }])
  })
})

t.test('a file without a record', async (t) => {
  /** A folder with a stored NAR, and nothing else that knows of it. */
  const orphan = async (t: Tap) => {
    const made = await world(t, { upstreams: [upstreamWith('a', hello)] })
    const bytes = await storeNar(made, key)
    const offline = (importKeys: readonly SecretKey[], options: Partial<WorldOptions> = {}) =>
      world(t, { upstreams: [upstreamDown('a')], dir: made.dir, importKeys, ...options })
    return { bytes, offline, narinfo: join(made.dir, 'cache', `${hash}.narinfo`) }
  }

  t.test('is served offline where the keys of import vouch for it', async (t) => {
    const { bytes, offline } = await orphan(t)
    for (const importKey of [keys.a, keys.weir]) {
      const made = await offline([importKey])
      t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'import' })
      const { body, isStored } = await openNar(made, key)
      t.same(await readBody(body), bytes)
      await body[Symbol.asyncDispose]()
      t.ok(isStored, 'it is taken up')
      t.match(await made.catalog.find(hash), [{ upstream: 'import', certainIn: null }])
      t.match(made.evidence.servedNars, [{ upstream: 'import' }])
      t.match(await made.substituter.narinfo(hash), { upstream: 'import', isStored: true })
    }
  })

  t.test('is not served where they do not', async (t) => {
    const { offline } = await orphan(t)
    const worlds = {
      'no keys': await offline([]),
      'another key': await offline([keys.stranger]),
      'a rule': await offline([keys.a], { policy: { rules: [testRule({ from: ['a'] })] } }),
      'a recall': await offline([keys.a], {
        policy: { blocks: [{ blocked: { kind: 'hash', hash }, reason: 'recalled' }] },
      }),
    }
    for (const [title, made] of Object.entries(worlds)) {
      t.equal((await made.substituter.narinfo(hash)).kind, 'unknown', title)
      t.equal((await getNar(made, key)).kind, 'unknown', title)
      t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    }
  })

  t.test('is not served where its narinfo says more than was signed', async (t) => {
    const { offline, narinfo } = await orphan(t)
    const text = await readFile(narinfo, 'utf8')
    const changes = {
      'another NarSize': text.replace(/^NarSize: .*$/m, 'NarSize: 1'),
      'another name': text.replaceAll('-hello\n', '-harmless\n'),
      nothing: '',
    }
    for (const [title, changed] of Object.entries(changes)) {
      await writeFile(narinfo, changed)
      const made = await offline([keys.a])
      t.equal((await made.substituter.narinfo(hash)).kind, 'unknown', title)
      t.equal((await getNar(made, key)).kind, 'unknown', title)
    }
  })

  t.test('is not served, and goes, where its bytes are others', async (t) => {
    const { offline, narinfo } = await orphan(t)
    const file = join(narinfo, '..', 'nar', narFileName(key))
    const bytes = await readFile(file)
    bytes[Math.floor(bytes.length / 2)] = 0xff & ~(bytes[Math.floor(bytes.length / 2)] ?? 0)
    await writeFile(file, bytes)
    const made = await offline([keys.a])
    t.equal((await getNar(made, key)).kind, 'failed')
    t.same(made.evidence.servedNars, [])
    t.equal(await made.store.open(key), null)
  })

  /** Asks for the NAR, and changes the policy while its file is looked through. */
  const lookedThrough = async (t: Tap, change: Partial<Policy>) => {
    const { offline } = await orphan(t)
    const [reading, open] = [gate(), gate()]
    const made = await offline([keys.a], {
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
    const answer = getNar(made, key)
    await reading.promise
    made.changePolicy(change)
    open.resolve(undefined)
    return { made, answer: await answer }
  }

  t.test('is not taken up where it is recalled while it is looked through', async (t) => {
    const blocks: Policy['blocks'] = [{ blocked: { kind: 'hash', hash }, reason: 'recalled' }]
    const { made, answer } = await lookedThrough(t, { blocks })
    t.equal(answer.kind, 'unknown')
    t.same(await made.catalog.totals(), { count: 0, bytes: 0 })
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.same(made.evidence.servedNars, [])
    t.equal(made.store.openFiles, 0)
  })

  t.test('is taken up where the policy changes in what does not concern it', async (t) => {
    const { made, answer } = await lookedThrough(t, { maxNarBytes: 2 ** 30 })
    if (answer.kind !== 'found') throw new Error(answer.kind)
    await answer.body[Symbol.asyncDispose]()
    const [record] = await made.catalog.find(hash)
    t.match(record, { upstream: 'import' })
    t.same(record?.witnesses, [], 'nobody is a witness of oneself')
  })

  t.test('yields to an upstream that has the path', async (t) => {
    const { bytes, offline } = await orphan(t)
    const a = upstreamWith('a', hello)
    const made = await offline([keys.a], { upstreams: [a], catalog: openSqliteCatalog(':memory:') })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a' })
    t.same(await fetchNar(made, key), bytes)
    t.match(await made.catalog.find(hash), [{ upstream: 'a', witnesses: [{ upstream: 'import' }] }])
    t.same(narsAsked(a), [])
  })

  t.test('is no source: where it has vanished nobody is asked for its bytes', async (t) => {
    const { offline, narinfo } = await orphan(t)
    const made = await offline([keys.a])
    await rm(join(narinfo, '..', 'nar', narFileName(key)))
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'unknown' } })
  })
})
