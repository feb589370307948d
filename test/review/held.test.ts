/** Findings about upstreams that are held back. */
import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNar, fetchNarinfo, gate, isSettled } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import {
  claimFor,
  contentAddressed,
  keys,
  narsAsked,
  numbered,
  signerNames,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const fromB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const group = { a: { equivalent: 'g' }, b: { equivalent: 'g' } }

t.test(
  'T1a a content-addressed path of p, confirmed by the group: the choice stays while the rest is asked',
  async (t) => {
    const unsigned = contentAddressed()
    const p = upstreamWith('p', unsigned)
    const a = upstreamWith('a', contentAddressed({ signers: [keys.a] }))
    const late = gate()
    const b = createFakeUpstream('b', {
      narinfo: () => late.promise.then(() => contentAddressed({ signers: [keys.b] }).text),
    })
    const it = await world(t, { upstreams: [p, a, b], of: group, verifyFirstBytes: 1 })
    const answer = it.substituter.narinfo(unsigned.key.storePathHash)
    t.ok(await isSettled(answer))
    late.resolve(undefined)
    const got = await answer
    t.equal(got.kind, 'found')
  },
)

t.test('T1b a rule prefers x to the group: the choice stays while the rest is asked', async (t) => {
  const a = upstreamWith('a', hello)
  const late = gate()
  const b = createFakeUpstream('b', { narinfo: () => late.promise.then(() => fromB.text) })
  const x = upstreamWith('x', claimFor(patternNar, { signers: [keys.stranger] }))
  const it = await world(t, {
    upstreams: [a, b, x],
    of: { ...group, x: { keys: [publicKeyOf(keys.stranger)] } },
    policy: { rules: [testRule({ from: ['x', 'a', 'b'] })] },
    verifyFirstBytes: 1,
  })
  const answer = it.substituter.narinfo(hash)
  t.ok(await isSettled(answer))
  late.resolve(undefined)
  const got = await answer
  t.equal(got.kind, 'found')
  if (got.kind === 'found') t.ok(signerNames(got.body.toString()).includes('weir.test-1'))
})
t.test('T2a a divergence is told once: of a large NAR', async (t) => {
  const a = upstreamWith('a', claimFor(smallNar))
  const b = upstreamWith('b', fromB)
  const it = await world(t, { upstreams: [a, b], of: group, verifyFirstBytes: 1 })
  await fetchNarinfo(it, hello)
  await it.finder.inquire(hash).everybody()
  await isSettled(Promise.resolve())
  t.equal(it.log.named('claims.diverged').length, 1)
})

t.test('T2b a divergence is told once: told before, and others are asked later', async (t) => {
  const a = upstreamWith('a', hello)
  const b = upstreamWith('b', fromB)
  const x = upstreamWith('x', claimFor(smallNar, { signers: [keys.stranger] }))
  const it = await world(t, {
    upstreams: [a, b, x],
    of: { ...group, x: { keys: [publicKeyOf(keys.stranger)] } },
  })
  await fetchNarinfo(it, hello)
  await it.finder.inquire(hash).settled
  await isSettled(Promise.resolve())
  t.equal(it.log.named('claims.diverged').length, 1)
  await it.finder.inquire(hash).everybody()
  await isSettled(Promise.resolve())
  t.equal(it.log.named('claims.diverged').length, 1)
})

t.test(
  'T3 the leader goes down, while x says something else: the next of the group is asked',
  async (t) => {
    let isDown = false
    const a = upstreamWith('a', hello)
    const b = upstreamWith('b', fromB)
    const x = upstreamWith('x', claimFor(smallNar, { signers: [keys.stranger] }))
    const it = await world(t, {
      upstreams: [a, b, x],
      of: { ...group, x: { keys: [publicKeyOf(keys.stranger)] } },
      isDown: (name) => isDown && name === 'a',
    })
    await fetchNarinfo(it, hello)
    isDown = true
    const got = await it.substituter.narinfo(hash)
    t.equal(got.kind, 'found')
  },
)

t.test('T4 HEAD of a NAR in a compression that only the next one has', async (t) => {
  const a = upstreamWith('a', hello)
  const b = upstreamWith(
    'b',
    claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar.bz2', compression: 'bzip2' }),
  )
  const it = await world(t, { upstreams: [a, b], of: group, encoding: 'upstream' })
  await fetchNarinfo(it, hello)
  const got = await it.substituter.peek({ ...key, compression: 'bzip2' })
  t.equal(got.kind, 'found')
})

t.test(
  'T5 an upstream whose NARs were waited for in vain is not tried first for the next one',
  async (t) => {
    const [one, two] = [numbered(1), numbered(2)]
    const ofB = (n: number) => numbered(n, { signers: [keys.b], url: `nar/b${n}.nar` })
    const a = createFakeUpstream('a', {
      narinfo: (h) => [one, two].find(({ key }) => key.storePathHash === h)?.text ?? null,
      nar: () => {
        throw new UpstreamError('timeout', 'too slow')
      },
    })
    const b = upstreamWith('b', ofB(1), ofB(2))
    const it = await world(t, { upstreams: [a, b], of: group })
    for (const each of [one, two]) {
      await fetchNarinfo(it, each)
      await fetchNar(it, each.key)
    }
    t.same(narsAsked(b), ['nar nar/b1.nar', 'nar nar/b2.nar'])
    t.same(
      narsAsked(a).filter((each) => each === 'nar nar/2.nar'),
      [],
    )
  },
)
