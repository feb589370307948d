/** Findings about upstreams that are held back. */
import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
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
