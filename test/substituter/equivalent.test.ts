/** Upstreams that share an `equivalent` group: one is asked, and the others where that one is of no use. */
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import type { Hedging } from '../../src/ports/hedging.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNar, fetchNarinfo, gate, isSettled } from '../fakes/substituter-client.ts'
import { world, type WorldOptions } from '../fakes/substituter-world.ts'
import { claimFor, down, keys, narsAsked, upstreamWith } from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const fromB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const group = { a: { equivalent: 'g' }, b: { equivalent: 'g' } }

const made = (
  t: Parameters<typeof world>[0],
  a: FakeUpstream,
  b: FakeUpstream,
  more: Partial<WorldOptions> = {},
) => world(t, { upstreams: [a, b], of: group, ...more })
const asked = (upstreams: readonly FakeUpstream[]): readonly number[] =>
  upstreams.map(({ asked }) => asked.filter((what) => what.startsWith('narinfo')).length)

t.test('the first one is asked; the next where it has nothing trusted', async (t) => {
  const rows = {
    found: [upstreamWith('a', hello), [1, 0]],
    absent: [createFakeUpstream('a'), [1, 1]],
    down: [createFakeUpstream('a', { narinfo: down }), [1, 1]],
    untrusted: [upstreamWith('a', claimFor(patternNar, { signers: [keys.stranger] })), [1, 1]],
  } as const
  for (const [name, [a, expected]] of Object.entries(rows)) {
    const b = upstreamWith('b', fromB)
    await fetchNarinfo(await made(t, a, b), hello)
    t.same(asked([a, b]), expected, name)
  }
})

t.test('what both do not have is absent; what one cannot tell of is unknown', async (t) => {
  const none = [createFakeUpstream('a'), createFakeUpstream('b')] as const
  t.match(await (await made(t, ...none)).substituter.narinfo(hash), { kind: 'absent' })
  t.same(asked(none), [1, 1])
  const one = [createFakeUpstream('a'), createFakeUpstream('b', { narinfo: down })] as const
  t.match(await (await made(t, ...one)).substituter.narinfo(hash), { kind: 'unknown' })
})

t.test('the next one is asked where the first is slow, and taken where it is faster', async (t) => {
  const [slow, late] = [gate(), gate()]
  const hedging: Hedging = {
    asked: () => undefined,
    took: () => undefined,
    isSlow: (upstream) =>
      upstream === 'a' ? slow.promise.then(() => true) : Promise.resolve(false),
  }
  const a = createFakeUpstream('a', { narinfo: () => late.promise.then(() => hello.text) })
  const b = upstreamWith('b', fromB)
  const it = await made(t, a, b, { hedging })
  const answer = fetchNarinfo(it, hello)
  t.notOk(await isSettled(answer))
  t.same(asked([a, b]), [1, 0])
  slow.resolve(undefined)
  t.match(await answer, /Sig: b.test-1:/)
  t.same(asked([a, b]), [1, 1])
  late.resolve(undefined)
  await it.finder.inquire(hash).settled
  t.same(
    it.finder
      .inquire(hash)
      .trusted()
      .map(({ claim }) => claim.upstream),
    ['a', 'b'],
    'who was late counts still',
  )
})

t.test(
  'where the NAR of the first cannot be had, the next one gives it in the same request',
  async (t) => {
    const wrong = bodyOf(smallNar)
    for (const nar of [() => null, down, () => wrong]) {
      const a = createFakeUpstream('a', { narinfo: () => hello.text, nar })
      const b = upstreamWith('b', fromB)
      const it = await made(t, a, b)
      await fetchNarinfo(it, hello)
      t.same(asked([a, b]), [1, 0])
      t.same(zstdDecompressSync(await fetchNar(it, key)), patternNar)
      t.same(asked([a, b]), [1, 1])
      t.same(narsAsked(b), ['nar nar/b.nar'])
    }
  },
)

t.test('a NAR that only the next one promises is had from it', async (t) => {
  const a = upstreamWith('a', claimFor(smallNar))
  const b = upstreamWith('b', fromB)
  const it = await made(t, a, b)
  await fetchNarinfo(it, hello)
  t.same(zstdDecompressSync(await fetchNar(it, key)), patternNar)
  t.same(asked([a, b]), [1, 1])
  t.equal(it.log.named('claims.diverged').length, 1, 'what comes late is told as well')
})

t.test('of a large NAR all are asked, so that it goes on where one breaks off', async (t) => {
  const a = upstreamWith('a', hello)
  const b = upstreamWith('b', fromB)
  const it = await made(t, a, b, { verifyFirstBytes: patternNar.length - 1 })
  await fetchNarinfo(it, hello)
  await it.finder.inquire(hash).settled
  t.same(asked([a, b]), [1, 1])
})

t.test('all are asked where a rule wants them to agree, or not to differ', async (t) => {
  for (const rule of [testRule({ agree: 2 }), testRule({ onDivergence: 'refuse' })]) {
    const a = upstreamWith('a', hello)
    const b = upstreamWith('b', fromB)
    await fetchNarinfo(await made(t, a, b, { policy: { rules: [rule] } }), hello)
    t.same(asked([a, b]), [1, 1])
  }
  const differing = [upstreamWith('a', claimFor(smallNar)), upstreamWith('b', fromB)] as const
  const rules = [testRule({ onDivergence: 'refuse' })]
  const it = await made(t, ...differing, { policy: { rules } })
  t.match(await it.substituter.narinfo(hash), { kind: 'absent' })
})
