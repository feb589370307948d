/** More about upstreams that are held back. */
import t from 'tap'
import { Inquiry } from '../../src/substituter/inquiry.ts'
import type { Reply } from '../../src/policy/views.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { fetchNarinfo, gate, isSettled } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import { claimFor, keys, upstreamWith } from '../fakes/test-claims.ts'
import { testPolicy } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const fromB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const group = { a: { equivalent: 'g' }, b: { equivalent: 'g' } }
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
