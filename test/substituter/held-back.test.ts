/** What those who are held back in an `equivalent` group are asked for, and what becomes of what was said before. */
import t from 'tap'
import { ingest } from '../../src/ingest/ingestion.ts'
import { createOpenSource } from '../../src/ingest/open-source.ts'
import { noPatience } from '../../src/ingest/outages.ts'
import { createRetryBudget } from '../../src/ingest/retry-budget.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Reply } from '../../src/policy/views.ts'
import type { NarIngest } from '../../src/ports/nar-ingest.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { Inquiry } from '../../src/substituter/finding/inquiry.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { fetchNar, fetchNarinfo, gate, getNar, isSettled } from '../fakes/substituter-client.ts'
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
import { testPolicy, testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const fromB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const group = { a: { equivalent: 'g' }, b: { equivalent: 'g' } }

t.test(
  'a content-addressed path of p, confirmed by the group: the choice stays while the rest is asked',
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

t.test('a rule prefers x to the group: the choice stays while the rest is asked', async (t) => {
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
  if (got.kind === 'found') t.ok(signerNames(got.body).includes('weir.test-1'))
})

t.test('a divergence is told once: of a large NAR', async (t) => {
  const a = upstreamWith('a', claimFor(smallNar))
  const b = upstreamWith('b', fromB)
  const it = await world(t, { upstreams: [a, b], of: group, verifyFirstBytes: 1 })
  await fetchNarinfo(it, hello)
  await it.finder.inquire(hash).everybody()
  await isSettled(Promise.resolve())
  t.equal(it.log.named('claims.diverged').length, 1)
})

t.test('a divergence is told once: told before, and others are asked later', async (t) => {
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
  'the leader goes down, while x says something else: the next of the group is asked',
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

t.test('HEAD of a NAR in a compression that only the next one has', async (t) => {
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
  'an upstream whose NARs were waited for in vain is not tried first for the next one',
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

const one = numbered(1)

t.test('the next one is asked before the first is asked again', async (t) => {
  for (const hasB of [true, false]) {
    const a = createFakeUpstream('a', {
      narinfo: () => one.text,
      nar: () => {
        throw new UpstreamError('timeout', 'too late')
      },
    })
    const b = hasB
      ? upstreamWith('b', numbered(1, { signers: [keys.b], url: 'nar/b1.nar' }))
      : createFakeUpstream('b')
    const upstreams = [a, b]
    const open = createOpenSource((name) => upstreams.find((each) => each.name === name) ?? null)
    const timing = { pause: () => Promise.resolve(), random: () => 0.5 }
    const budget = createRetryBudget()
    const real: NarIngest = {
      ingest: (job, events, signal) =>
        ingest(job, { open, timing, budget, outages: noPatience }, events, signal),
      close: () => Promise.resolve(),
    }
    const it = await world(t, { ingest: real, upstreams, of: group })
    await fetchNarinfo(it, one)
    if (hasB) await fetchNar(it, one.key)
    else t.match(await getNar(it, one.key), { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(narsAsked(a).length, hasB ? 1 : 4)
  }
})

t.test('an old question does not forget what a newer one said', async (t) => {
  let text: Uint8Array | null = hello.text
  const nar = gate()
  const a = createFakeUpstream('a', {
    narinfo: () => text,
    nar: () =>
      nar.promise.then(() => {
        throw new UpstreamError('reset', 'x')
      }),
  })
  const b = createFakeUpstream('b')
  const it = await world(t, {
    upstreams: [a, b],
    of: group,
  })
  await fetchNarinfo(it, hello)
  const got = getNar(it, hello.key)
  await isSettled(got)
  it.finder.forget(hash)
  text = null
  it.substituter.changed(hash)
  t.equal((await it.substituter.narinfo(hash)).kind, 'absent')
  await isSettled(Promise.resolve())
  t.not(it.finder.fruitless(hash), null)
  nar.resolve(undefined)
  await got
  await isSettled(Promise.resolve())
  t.not(it.finder.fruitless(hash), null, 'still known')
})

const made = (
  of: Parameters<typeof testPolicy>[1],
  changes: Partial<ConstructorParameters<typeof Inquiry>[0]>,
) => {
  const policy = testPolicy(['a', 'b'], of)
  return new Inquiry({
    policy: () => policy,
    ask: () => new Promise<Reply>(() => undefined),
    expected: () => null,
    isSlow: () => Promise.resolve(false),
    judged: () => undefined,
    settledAgain: () => undefined,
    ...changes,
  })
}

t.test(
  'a fault of Weir while the next one is asked is told to who waits, and ends nothing',
  async (t) => {
    let isBroken = false
    const slow = gate()
    const inquiry = made(group, {
      isSlow: () => slow.promise.then(() => true),
      expected: () => {
        if (isBroken) throw new Error('a fault')
        return null
      },
    })
    isBroken = true
    slow.resolve(undefined)
    await t.rejects(inquiry.chosen, /a fault/)
  },
)

t.test('nobody is watched for being slow for whom nobody is held back', async (t) => {
  const watched: string[] = []
  const isSlow = (name: string) => {
    watched.push(name)
    return Promise.resolve(true)
  }
  made({ a: { equivalent: 'g' }, b: { equivalent: 'g', tier: 1 } }, { isSlow })
  made({ a: { equivalent: 'g', private: true }, b: { equivalent: 'g' } }, { isSlow })
  t.same(watched, [])
  made(group, { isSlow })
  t.same(watched, ['a'])
})

t.test(
  'what is asked later, in the last moment that a question is remembered, does not keep it for ever',
  async (t) => {
    const clock = createFixedClock()
    const a = upstreamWith('a', hello)
    const late = gate()
    const b = createFakeUpstream('b', { narinfo: () => late.promise.then(() => fromB.text) })
    const it = await world(t, { upstreams: [a, b], of: group, clock })
    await fetchNarinfo(it, hello)
    const inquiry = it.finder.inquire(hash)
    await isSettled(Promise.resolve())
    const all = inquiry.everybody()
    clock.advance(10 * 60_000)
    late.resolve(undefined)
    await all
    await isSettled(Promise.resolve())
    clock.advance(60 * 60_000)
    t.not(it.finder.inquire(hash), inquiry)
  },
)
