/** When a stored NAR is the last word on its path: not where somebody better may still speak, nor where what it rests on is taken back. */
import t from 'tap'
import type { Policy } from '../../src/policy/policy.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { gate, getNar, openNar, readBody, storeNar } from '../fakes/substituter-client.ts'
import { type Tap, world } from '../fakes/substituter-world.ts'
import { claimFor, down, keys, upstreamWith } from '../fakes/test-claims.ts'
import { testPolicy, testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash
const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/other.nar' })
const refuseDivergence: Partial<Policy> = { rules: [testRule({ onDivergence: 'refuse' })] }

t.test('a NAR on its way while a better upstream joins is stored, and not certain', async (t) => {
  const [asked, open] = [gate(), gate()]
  const a = upstreamWith('a', hello)
  const b = upstreamWith('b', ofB)
  b.answers.nar = async () => {
    asked.resolve(undefined)
    await open.promise
    return bodyOf(ofB.nar)
  }
  const only = testPolicy(['b']).upstreams
  const made = await world(t, { upstreams: [a, b], policy: { upstreams: only } })
  const answer = openNar(made, key)
  await asked.promise
  made.changePolicy({ upstreams: testPolicy(['a', 'b']).upstreams })
  open.resolve(undefined)
  const { body } = await answer
  await readBody(body)
  await body[Symbol.asyncDispose]()
  await made.transfers.idle()
  t.match(await made.catalog.find(hash), [{ upstream: 'b', certainIn: null }])
  t.same(a.asked, [])
  t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
  t.same(a.asked, [`narinfo ${hash}`])
  t.match(await made.catalog.find(hash), [{ upstream: 'a', certainIn: 'epoch-2' }])
})

t.test(
  'what is stored while a better claim is recalled gives way once that is lifted',
  async (t) => {
    const a = upstreamWith('a', hello)
    const blocked = { kind: 'nar-hash', narHash: `sha256:${key.narHash}` } as const
    const policy: Partial<Policy> = { blocks: [{ blocked, reason: 'recalled' }] }
    const made = await world(t, { upstreams: [a, upstreamWith('b', other)], policy })
    await storeNar(made, other.key)
    t.match(await made.catalog.find(hash), [{ upstream: 'b', certainIn: null }])
    t.match(await made.substituter.narinfo(hash), { upstream: 'b', isStored: true })
    a.asked.length = 0
    made.changePolicy({ blocks: [], choiceEpoch: 'epoch-1' })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: false })
    t.same(a.asked, [`narinfo ${hash}`])
  },
)

t.test('where no difference is stood', async (t) => {
  t.test('nothing is served, nor stored, while somebody cannot tell', async (t) => {
    for (const [which, upstreams] of Object.entries({
      'the better one': [createFakeUpstream('a', { narinfo: down }), upstreamWith('b', ofB)],
      'the other one': [upstreamWith('a', hello), createFakeUpstream('b', { narinfo: down })],
    })) {
      const made = await world(t, { upstreams, policy: refuseDivergence })
      t.equal((await made.substituter.narinfo(hash)).kind, 'unknown', which)
      t.equal((await getNar(made, key)).kind, 'unknown', which)
      t.equal((await made.substituter.peek(key)).kind, 'unknown', which)
      t.same(await made.catalog.find(hash), [], which)
    }
  })

  t.test('what was stored before is refused too: its narinfo, its NAR and a HEAD', async (t) => {
    const made = await world(t, { upstreams: [upstreamWith('a', hello), upstreamWith('b', other)] })
    await storeNar(made, key)
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    made.changePolicy(refuseDivergence)
    t.match(await made.substituter.narinfo(hash), {
      kind: 'absent',
      slots: [{ answer: { verdict: { reason: 'divergence' } } }, {}],
    })
    t.equal((await getNar(made, key)).kind, 'absent')
    t.equal((await made.substituter.peek(key)).kind, 'absent')
  })

  t.test('what was stored before is not served while somebody cannot tell', async (t) => {
    const b = createFakeUpstream('b')
    const made = await world(t, { upstreams: [upstreamWith('a', hello), b] })
    await storeNar(made, key)
    b.answers.narinfo = down
    made.changePolicy(refuseDivergence)
    t.equal((await made.substituter.narinfo(hash)).kind, 'unknown')
    t.equal((await getNar(made, key)).kind, 'unknown')
    t.equal((await made.substituter.peek(key)).kind, 'unknown')
  })
})

t.test('what two agreed on', async (t) => {
  /** A world in which both said it, and then the policy changed. */
  const agreed = async (t: Tap) => {
    const a = upstreamWith('a', hello)
    const b = upstreamWith('b', ofB)
    const made = await world(t, { upstreams: [a, b], policy: { rules: [testRule({ agree: 2 })] } })
    await storeNar(made, key)
    made.changePolicy({})
    return { made, a, b }
  }

  for (const which of ['a', 'b'] as const) {
    t.test(`is refused where ${which} has taken it back`, async (t) => {
      const { made, ...upstreams } = await agreed(t)
      upstreams[which].answers.narinfo = () => null
      t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
      t.equal((await getNar(made, key)).kind, 'absent')
      t.equal((await made.substituter.peek(key)).kind, 'absent')
    })
  }

  t.test('is served from the store where neither can tell', async (t) => {
    const { made, a, b } = await agreed(t)
    t.match(await made.catalog.find(hash), [{ upstream: 'a', witnesses: [{ upstream: 'b' }] }])
    for (const { answers } of [a, b]) answers.narinfo = down
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    t.match(await made.substituter.peek(key), { kind: 'found' })
    const { body, isStored } = await openNar(made, key)
    await body[Symbol.asyncDispose]()
    t.ok(isStored)
  })

  t.test('is refused where one has taken it back and the other cannot tell', async (t) => {
    const { made, a, b } = await agreed(t)
    a.answers.narinfo = () => null
    b.answers.narinfo = down
    t.not((await made.substituter.narinfo(hash)).kind, 'found')
    t.not((await getNar(made, key)).kind, 'found')
  })
})

t.test('what rests on a claim that is refused now is not served', async (t) => {
  const a = upstreamWith('a', hello)
  const made = await world(t, { upstreams: [a, createFakeUpstream('b', { narinfo: down })] })
  await storeNar(made, key)
  made.changePolicy({})
  a.answers.narinfo = () => claimFor(smallNar, { signers: [] }).text
  t.not((await made.substituter.narinfo(hash)).kind, 'found')
  t.not((await getNar(made, key)).kind, 'found')
  t.not((await made.substituter.peek(key)).kind, 'found')
})
