/** What is remembered of who does not have a path, and what is served while nobody can be asked. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { forget } from '../../src/admin/forget.ts'
import { narFileName } from '../../src/nix/nar-key.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { createAbsences, maxAbsences } from '../../src/substituter/finding/absences.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import {
  cacheFiles,
  fetchNar,
  fetchNarinfo,
  gate,
  getNar,
  openNar,
  readBody,
  resumeNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import { type Tap, world, type WorldOptions } from '../fakes/substituter-world.ts'
import { claimFor, down, field, keys, numbered, upstreamWith } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { workFolder } from '../fakes/work-folder.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash

t.test('what an upstream did not have', async (t) => {
  /** Five upstreams, whose word holds for 30 s. */
  const five = async (t: Tap) => {
    const clock = createFixedClock()
    const hits: string[] = []
    const upstreams = ['a', 'b', 'c', 'd', 'e'].map((name) => createFakeUpstream(name))
    const made = await world(t, {
      ...{ clock, upstreams, negativeTtlMs: 30_000 },
      meter: { absenceRemembered: (upstream) => hits.push(upstream) },
    })
    return { made, clock, upstreams, hits, asked: () => upstreams.flatMap(({ asked }) => asked) }
  }

  t.test('is not asked for again before its time is over, and counted', async (t) => {
    const { made, clock, hits, asked } = await five(t)
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.equal(asked().length, 5)
    t.same(hits, [])
    clock.advance(29_999)
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.equal((await getNar(made, key)).kind, 'absent')
    t.equal((await made.substituter.peek(key)).kind, 'absent')
    t.equal(asked().length, 5)
    t.equal(hits.length, 15)
    clock.advance(2)
    await made.substituter.narinfo(hash)
    t.equal(asked().length, 10)
  })

  t.test('is of that path and that upstream alone', async (t) => {
    const { made, upstreams, asked } = await five(t)
    const [a] = upstreams
    if (a !== undefined) a.answers.narinfo = down
    t.equal((await made.substituter.narinfo(hash)).kind, 'unknown')
    t.equal((await made.substituter.narinfo(hash)).kind, 'unknown')
    t.equal(asked().length, 6, 'who could not tell is asked again')
    await made.substituter.narinfo(numbered(1).key.storePathHash)
    t.equal(asked().length, 11)
  })

  t.test('is had at once when it is to be forgotten', async (t) => {
    const { made, upstreams, asked } = await five(t)
    const [, b] = upstreams
    await made.substituter.narinfo(hash)
    if (b !== undefined) b.answers.narinfo = () => ofB.text
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.match(forget(made, hash), {
      absentAt: ['a', 'b', 'c', 'd', 'e'],
      isRemembered: false,
      isDistrusted: false,
    })
    t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'b' })
    t.equal(asked().length, 10)
    t.match(forget(made, hash), { absentAt: ['a', 'c', 'd', 'e'], isRemembered: true })
  })

  t.test('is not remembered where the question was asked before it was forgotten', async (t) => {
    const [asked, open] = [gate(), gate()]
    const a = createFakeUpstream('a', {
      narinfo: async () => {
        asked.resolve(undefined)
        await open.promise
        return null
      },
    })
    const made = await world(t, { upstreams: [a], negativeTtlMs: 30_000 })
    const early = made.substituter.narinfo(hash)
    await asked.promise
    made.absences.forget(hash)
    open.resolve(undefined)
    t.equal((await early).kind, 'absent')
    a.answers.narinfo = () => hello.text
    t.equal((await made.substituter.narinfo(hash)).kind, 'found')
  })

  t.test('is bounded, and goes with its upstream', async (t) => {
    const clock = createFixedClock()
    const absences = createAbsences({ clock, ttlMs: (upstream) => (upstream === 'off' ? 0 : 1) })
    const of = (number: number) => numbered(number).key.storePathHash
    const note = (upstream: string, number: number) => {
      absences.asking(upstream, of(number))()
    }
    note('off', 1)
    t.notOk(absences.has('off', of(1)))
    note('a', 1)
    note('b', 1)
    absences.forgetUpstream('a')
    t.same([absences.has('a', of(1)), absences.has('b', of(1))], [false, true])
    t.equal(absences.clear(), 1)
    const many = Array.from({ length: maxAbsences + 1 }, (_, index) =>
      index.toString(16).padStart(32, '0').replaceAll('e', 'g'),
    ) as unknown as readonly (typeof hash)[]
    for (const each of many) absences.asking('a', each)()
    t.equal(absences.clear(), maxAbsences)
  })
})

t.test('what was held against upstreams is forgotten too, and looked at again', async (t) => {
  const clock = createFixedClock()
  const a = upstreamWith('a', hello)
  a.answers.nar = () => bodyOf(smallNar)
  const made = await world(t, { clock, upstreams: [a] })
  for (let wrong = 0; wrong < 3; wrong += 1) {
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'corrupt' } })
  }
  a.answers.nar = () => bodyOf(hello.nar)
  t.match(await getNar(made, key), { kind: 'failed' }, 'so soon it is not asked again')
  t.match(forget(made, hash), { isDistrusted: true })
  t.same(await fetchNar(made, key), await fetchNar(made, key))
  t.match(forget(made, hash), { isDistrusted: false })
})

/** A world that can go offline, and come back, as by a reload. */
async function switchable(t: Tap, options: Omit<WorldOptions, 'dir'> & { readonly dir?: string }) {
  let isOffline = false
  const made = await world(t, { ...options, isOffline: () => isOffline })
  return {
    made,
    go: (mode: 'offline' | 'online'): void => {
      isOffline = mode === 'offline'
      made.setPolicy({ ...made.policy() })
      if (isOffline) made.transfers.cutFetches()
    },
  }
}

t.test('offline', async (t) => {
  t.test('nobody is asked, and what is not stored is absent', async (t) => {
    const [stored, remembered] = [numbered(1), numbered(2)]
    const a = upstreamWith('a', stored, remembered, hello)
    const { made, go } = await switchable(t, { upstreams: [a], negativeTtlMs: 30_000 })
    const nar = await storeNar(made, stored.key)
    t.match(await made.substituter.narinfo(remembered.key.storePathHash), { kind: 'found' })
    go('offline')
    a.asked.length = 0
    for (const { key } of [remembered, hello]) {
      const answer = await made.substituter.narinfo(key.storePathHash)
      t.match(answer, { kind: 'absent', slots: [{ answer: { code: 'offline' } }] })
      t.equal((await getNar(made, key)).kind, 'absent')
      t.equal((await made.substituter.peek(key)).kind, 'absent')
      t.equal((await resumeNar(made, key)).kind, 'absent')
    }
    t.match(await made.substituter.narinfo(stored.key.storePathHash), { isStored: true })
    t.match(await made.substituter.peek(stored.key), { kind: 'found' })
    t.same(await fetchNar(made, stored.key), nar)
    t.same(a.asked, [])
    go('online')
    t.equal((await made.substituter.narinfo(hash)).kind, 'found', 'nothing of it is remembered')
    await fetchNar(made, remembered.key)
  })

  t.test('other compressions are made of what is stored', async (t) => {
    const { made, go } = await switchable(t, {
      ...{ upstreams: [upstreamWith('a', hello)], encoding: 'upstream' },
    })
    await storeNar(made, { ...key, compression: 'none' })
    go('offline')
    for (const compression of ['zstd', 'xz', 'none'] as const) {
      t.match(await made.substituter.peek({ ...key, compression }), { kind: 'found' })
      t.ok((await fetchNar(made, { ...key, compression })).length > 0, compression)
    }
  })

  t.test('a NAR on its way is cut, and not kept', async (t) => {
    const [asked, open] = [gate(), gate()]
    const a = upstreamWith('a', hello)
    a.answers.nar = async () => {
      asked.resolve(undefined)
      await open.promise
      return bodyOf(hello.nar)
    }
    const { made, go } = await switchable(t, { upstreams: [a] })
    const answer = getNar(made, key)
    await asked.promise
    go('offline')
    open.resolve(undefined)
    t.not((await answer).kind, 'found')
    await made.transfers.idle()
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
    t.ok(made.storing.isOn(), 'which is no failure of the store')
    go('online')
    await storeNar(made, key)
  })

  t.test('a file without a record is had under the keys of import', async (t) => {
    const dir = workFolder(t)
    const earlier = await world(t, { dir, upstreams: [upstreamWith('a', hello)] })
    const nar = await storeNar(earlier, key)
    const options = { dir, upstreams: [createFakeUpstream('a')], importKeys: [keys.a] }
    const catalog = openSqliteCatalog(':memory:')
    const made = await world(t, { ...options, catalog, isOffline: () => true })
    t.equal(field(await fetchNarinfo(made, hello), 'URL'), `nar/${narFileName(key)}`)
    t.same(await fetchNar(made, key), nar)
    t.match(await made.catalog.find(hash), [{ upstream: 'import' }])
  })

  t.test('a narinfo is not shown whose file is gone', async (t) => {
    const dir = workFolder(t)
    const earlier = await world(t, { dir, upstreams: [upstreamWith('a', hello)] })
    await storeNar(earlier, key)
    await rm(join(dir, 'cache', 'nar', narFileName(key)))
    const options = { dir, upstreams: [createFakeUpstream('a')], importKeys: [keys.a] }
    const catalog = openSqliteCatalog(':memory:')
    const made = await world(t, { ...options, catalog, isOffline: () => true })
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'absent' } })
  })
})

t.test('offline, the policy holds for what is stored', async (t) => {
  /** What `a` and `b` said was stored; then Weir goes offline, under this policy. */
  const storedThen = async (t: Tap, change: Partial<Policy>, claims = [hello]) => {
    const upstreams = [upstreamWith('a', ...claims), upstreamWith('b', ofB)]
    const { made, go } = await switchable(t, { upstreams })
    await storeNar(made, key)
    go('offline')
    made.changePolicy(change)
    return made
  }
  const refusals: Readonly<Record<string, Partial<Policy>>> = {
    'a recall': { blocks: [{ blocked: { kind: 'hash', hash }, reason: 'bad' }] },
    'a recalled key': {
      blocks: [keys.a, keys.b].map(({ publicKey }) => ({
        blocked: { kind: 'key' as const, key: publicKey },
        reason: 'stolen',
      })),
    },
    'suspended upstreams': { suspended: new Set(['a', 'b']) },
    'a rule for others': { rules: [testRule({ from: ['c'] })] },
    'more builders than vouched': { rules: [testRule({ agree: 3 })] },
    'what no rule allows': { unmatched: 'deny' },
    "everybody's word, which nobody gives now": { rules: [testRule({ onDivergence: 'refuse' })] },
  }
  for (const [title, change] of Object.entries(refusals)) {
    t.test(`${title}: no narinfo, no NAR`, async (t) => {
      const made = await storedThen(t, change)
      t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
      t.not((await getNar(made, key)).kind, 'found')
      t.not((await made.substituter.peek(key)).kind, 'found')
      t.not((await getNar(made, { ...key, compression: 'xz' })).kind, 'found')
    })
  }

  t.test('two who said the same still agree, since both were kept', async (t) => {
    const upstreams = [upstreamWith('a', hello), upstreamWith('b', ofB)]
    const rules = [testRule({ agree: 2 })]
    const { made, go } = await switchable(t, { upstreams, policy: { rules } })
    await storeNar(made, key)
    go('offline')
    made.changePolicy({ rules })
    t.match(await made.substituter.narinfo(hash), { kind: 'found', isStored: true })
    await fetchNar(made, key)
  })

  t.test('one alone is not two', async (t) => {
    const upstreams = [upstreamWith('a', hello), createFakeUpstream('b')]
    const { made, go } = await switchable(t, { upstreams })
    await storeNar(made, key)
    go('offline')
    made.changePolicy({ rules: [testRule({ agree: 2 })] })
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.not((await getNar(made, key)).kind, 'found')
  })

  t.test('who reads what is recalled meanwhile is cut off', async (t) => {
    const made = await storedThen(t, {})
    const { body } = await openNar(made, key)
    made.changePolicy({ blocks: [{ blocked: { kind: 'hash', hash }, reason: 'bad' }] })
    await t.rejects(readBody(body))
    await body[Symbol.asyncDispose]()
  })
})

t.test('while upstreams are down', async (t) => {
  /** `a` has two paths, of which one is stored and of the other the narinfo is remembered; then it goes down. */
  const outage = async (t: Tap) => {
    const [stored, remembered] = [numbered(1), numbered(2)]
    const a = upstreamWith('a', stored, remembered)
    const { narinfo } = a.answers
    const downs = new Set<string>()
    const made = await world(t, {
      ...{ upstreams: [a, createFakeUpstream('b')], isDown: (name) => downs.has(name) },
      negativeTtlMs: 30_000,
    })
    await storeNar(made, stored.key)
    await made.substituter.narinfo(remembered.key.storePathHash)
    return {
      ...{ made, a, stored, remembered },
      goDown: (): void => {
        downs.add('a')
        a.answers.narinfo = down
        a.asked.length = 0
      },
      /** It answers again, whatever is believed of it. */
      answer: (): void => {
        if (narinfo !== undefined) a.answers.narinfo = narinfo
      },
      comeBack: (): void => {
        downs.delete('a')
      },
    }
  }

  t.test('what is stored and certain needs nobody', async (t) => {
    const { made, a, stored, goDown } = await outage(t)
    goDown()
    t.match(await made.substituter.narinfo(stored.key.storePathHash), { isStored: true })
    await fetchNar(made, stored.key)
    t.same(a.asked, [])
  })

  t.test('a remembered narinfo is not shown whose NAR cannot be had', async (t) => {
    const { made, a, remembered, goDown, answer, comeBack } = await outage(t)
    goDown()
    const { key } = remembered
    t.equal((await made.substituter.narinfo(key.storePathHash)).kind, 'unknown')
    t.equal((await getNar(made, key)).kind, 'unknown')
    t.equal((await made.substituter.peek(key)).kind, 'unknown')
    t.same(new Set(a.asked), new Set([`narinfo ${key.storePathHash}`]), 'no NAR is fetched')
    answer()
    comeBack()
    t.match(await made.substituter.narinfo(key.storePathHash), { kind: 'found', upstream: 'a' })
    await fetchNar(made, key)
  })

  t.test('nothing of the outage is remembered, least of all an absence', async (t) => {
    const { made, goDown, answer, comeBack, a } = await outage(t)
    goDown()
    t.equal((await made.substituter.narinfo(hash)).kind, 'unknown')
    a.answers.narinfo = () => hello.text
    comeBack()
    t.equal((await made.substituter.narinfo(hash)).kind, 'found')
    answer()
  })

  t.test('a claim that was not the best known stands in, unless it was refused', async (t) => {
    for (const said of ['nothing', 'a refusal'] as const) {
      const a = createFakeUpstream('a', { narinfo: down })
      const b = upstreamWith('b', ofB)
      const made = await world(t, { upstreams: [a, b, createFakeUpstream('c')] })
      await storeNar(made, key)
      t.match(await made.catalog.find(hash), [{ certainIn: null }])
      if (said === 'a refusal') {
        made.finder.forget(hash)
        made.substituter.changed(hash)
        b.answers.narinfo = () => claimFor(smallNar, { signers: [] }).text
        t.equal((await made.substituter.narinfo(hash)).kind, 'unknown')
      }
      b.answers.narinfo = down
      made.finder.forget(hash)
      made.substituter.changed(hash)
      const isFound = said === 'nothing'
      t.equal((await made.substituter.narinfo(hash)).kind === 'found', isFound, said)
      t.equal((await getNar(made, key)).kind === 'found', isFound, said)
    }
  })
})
