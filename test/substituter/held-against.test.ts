/** What is said of a file beyond its NarHash: the content address that it was held against, who vouched, and what Weir signs. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { SourceFailure } from '../../src/ports/nar-ingest.ts'
import { bodyOf, patternNar, randomBytes, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNarinfo, getNar, storeNar } from '../fakes/substituter-client.ts'
import { type Tap, world, type World } from '../fakes/substituter-world.ts'
import {
  claimFor,
  contentAddressed,
  down,
  keys,
  signerNames,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { must } from '../nix/fixtures.ts'

const addressed = contentAddressed()
const { storePath, ca } = addressed.narinfo
const hash = storePath.hash
const agreeTwo: Partial<Policy> = { rules: [testRule({ agree: 2 })] }

t.test('a witness that promises a content address', async (t) => {
  const blocksA: Partial<Policy> = {
    blocks: [{ blocked: { kind: 'key', key: publicKeyOf(keys.a) }, reason: 'stolen' }],
  }
  const ofA = claimFor(smallNar, { storePath, url: 'nar/a.nar' })
  const ofC = claimFor(smallNar, { storePath, ca, signers: [], url: 'nar/c.nar' })

  t.test('that the file was not held against is not kept, nor served as stored', async (t) => {
    const upstreams = [upstreamWith('a', ofA), upstreamWith('c', ofC)]
    const made = await world(t, { upstreams })
    await made.finder.inquire(hash).settled
    await storeNar(made, ofA.key)
    t.match(await made.catalog.find(hash), [{ upstream: 'a', verifiedCa: null }])
    t.same((await made.catalog.find(hash))[0]?.witnesses, [])
    made.changePolicy(blocksA)
    t.same(await made.finder.stored(hash), [])
    const narinfo = await made.substituter.narinfo(hash)
    t.match(narinfo, { kind: 'found', upstream: 'c', isStored: false })
    t.same(signerNames(await fetchNarinfo(made, ofC)), [])
    t.equal((await getNar(made, ofC.key)).kind, 'failed')
    await made.transfers.idle()
    t.same(await made.finder.stored(hash), [])
  })

  t.test('that the file was not held against counts for nothing in an old record', async (t) => {
    const upstreams = [upstreamWith('a', ofA), createFakeUpstream('c', { narinfo: down })]
    const made = await world(t, { upstreams })
    await storeNar(made, ofA.key)
    const [record] = await made.catalog.find(hash)
    const witnesses = [{ upstream: 'c', claim: ofC.text }]
    await made.keeper.adopt({ ...must(record), witnesses })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a', isStored: true })
    made.changePolicy(blocksA)
    t.same(await made.finder.stored(hash), [])
    t.not((await made.substituter.narinfo(hash)).kind, 'found')
    t.not((await getNar(made, ofC.key)).kind, 'found')
  })
})

t.test('where two must agree', async (t) => {
  t.test('what a content address stands in for is signed only once its NAR was seen', async (t) => {
    const ofA = contentAddressed({ signers: [keys.a] })
    const made = await world(t, {
      upstreams: [upstreamWith('a', ofA), createFakeUpstream('b')],
      policy: agreeTwo,
      mode: 'add',
    })
    t.notOk(signerNames(await fetchNarinfo(made, ofA)).includes(keys.weir.name))
    await storeNar(made, ofA.key)
    t.ok(signerNames(await fetchNarinfo(made, ofA)).includes(keys.weir.name))
  })

  t.test('keys that agree win over a content address with another NarHash', async (t) => {
    const byKey = (key: 'a' | 'b') =>
      upstreamWith(key, claimFor(smallNar, { storePath, signers: [keys[key]] }))
    const upstreams = [upstreamWith('c', addressed), byKey('a'), byKey('b')]
    const made = await world(t, { upstreams, policy: agreeTwo })
    t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'a' })
    t.equal((await getNar(made, addressed.key)).kind, 'absent')
  })

  t.test('each key that vouched is recorded for the NAR that is handed out', async (t) => {
    const ofA = claimFor(patternNar)
    const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
    const upstreams = [upstreamWith('a', ofA), upstreamWith('b', ofB)]
    const made = await world(t, { upstreams, policy: agreeTwo })
    await storeNar(made, ofA.key)
    await storeNar(made, ofA.key)
    const vouched = [keys.a, keys.b].map((key) => formatPublicKey(publicKeyOf(key)))
    t.match(made.evidence.servedNars, [
      { upstream: 'a', keys: vouched },
      { upstream: 'a', keys: vouched },
    ])
    t.equal(made.evidence.servedNars.length, 2)
  })

  t.test('what lies in the store is no builder, unless the rule names it', async (t) => {
    const ofB = claimFor(patternNar, { signers: [keys.b] })
    const before = await world(t, { upstreams: [upstreamWith('b', ofB)] })
    await storeNar(before, ofB.key)
    const ofA = claimFor(patternNar)
    const later = (policy: Partial<Policy>) =>
      world(t, {
        upstreams: [upstreamWith('a', ofA)],
        importKeys: [keys.b],
        dir: before.dir,
        policy,
      })
    const unnamed = await later(agreeTwo)
    t.match(await unnamed.substituter.narinfo(ofA.key.storePathHash), {
      kind: 'absent',
      slots: [{ answer: { verdict: { reason: 'no-agreement' } } }, {}],
    })
    t.equal((await getNar(unnamed, ofA.key)).kind, 'absent')
    const named = await later({ rules: [testRule({ agree: 2, from: ['a', 'import'] })] })
    t.match(await named.substituter.narinfo(ofA.key.storePathHash), { kind: 'found' })
  })
})

t.test('what would be refused for a divergence, in report only', async (t) => {
  const ofA = claimFor(patternNar)
  const ofB = claimFor(smallNar, { signers: [keys.b], url: 'nar/b.nar' })
  const policy = { enforce: false, rules: [testRule({ onDivergence: 'refuse' })] }
  const upstreams = [upstreamWith('a', ofA), upstreamWith('b', ofB)]

  t.test('is not signed by Weir and says so, before and after its NAR was stored', async (t) => {
    const made = await world(t, { upstreams, policy })
    const expected = { kind: 'found', upstream: 'a', wouldRefuse: 'divergence' }
    const { storePathHash } = ofA.key
    t.match(await made.substituter.narinfo(storePathHash), { ...expected, isStored: false })
    t.same(signerNames(await fetchNarinfo(made, ofA)), [keys.a.name])
    await storeNar(made, ofA.key)
    t.match(await made.substituter.narinfo(storePathHash), { ...expected, isStored: true })
    t.same(signerNames(await fetchNarinfo(made, ofA)), [keys.a.name])
    const file = await readFile(join(made.dir, 'cache', `${storePathHash}.narinfo`), 'utf8')
    t.same(signerNames(file), [keys.a.name])
    made.clock.advance(24 * 60 * 60_000)
    made.substituter.changed(storePathHash)
    t.match(await made.substituter.narinfo(storePathHash), { ...expected, isStored: true })
    t.same(signerNames(await fetchNarinfo(made, ofA)), [keys.a.name])
  })
})

t.test('a claim that only its content address vouches for', async (t) => {
  /** Lets go of what is remembered of the path, so that its upstreams are asked again. */
  const askAnew = ({ finder, substituter }: World): void => {
    finder.forget(hash)
    substituter.changed(hash)
  }

  /** A world whose `c` fails to deliver, in this way. */
  const failing = (t: Tap, kind: SourceFailure['kind'], code: string) =>
    world(t, {
      upstreams: [upstreamWith('c', addressed)],
      ingest: createFakeNarIngest(async ({ events }) => {
        events.sourceFailed({ upstream: 'c', kind, code, message: code })
        return { kind: 'failed' }
      }),
    })

  for (const [kind, code] of [
    ['corrupt', 'prefix-mismatch'],
    ['corrupt', 'undecodable'],
    ['corrupt', 'too-short'],
    ['unreachable', 'reset'],
    ['absent', 'absent'],
  ] as const) {
    t.test(`is not refuted by a file that is ${kind}: ${code}`, async (t) => {
      const made = await failing(t, kind, code)
      t.equal((await getNar(made, addressed.key)).kind, 'failed')
      await made.transfers.idle()
      askAnew(made)
      t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'c' })
    })
  }

  for (const code of ['nar-hash-mismatch', 'content-address-mismatch', 'too-long']) {
    t.test(`is refuted by a file that is the wrong one, for an hour: ${code}`, async (t) => {
      const made = await failing(t, 'corrupt', code)
      t.equal((await getNar(made, addressed.key)).kind, 'failed')
      await made.transfers.idle()
      t.match(await made.substituter.narinfo(hash), {
        kind: 'absent',
        slots: [{ answer: { verdict: { reason: 'bad-content-address' } } }],
      })
      made.clock.advance(60 * 60_000)
      t.equal((await made.substituter.narinfo(hash)).kind, 'found')
    })
  }

  t.test('is refused after two lies of its upstream about the path', async (t) => {
    const lies = [1, 2].map((seed) => {
      const nar = randomBytes(1000, seed)
      const { narHash, narSize } = claimFor(nar).narinfo
      return { ...contentAddressed({ narHash, narSize, url: `nar/${seed}.nar` }), nar }
    })
    const c = createFakeUpstream('c')
    const made = await world(t, { upstreams: [c, upstreamWith('d', addressed)] })
    for (const lie of lies) {
      c.answers.narinfo = () => lie.text
      c.answers.nar = () => bodyOf(lie.nar)
      askAnew(made)
      t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'c' })
      t.equal((await getNar(made, lie.key)).kind, 'failed')
      await made.transfers.idle()
    }
    c.answers.narinfo = () => addressed.text
    c.answers.nar = () => bodyOf(addressed.nar)
    askAnew(made)
    t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'd' })
    await made.finder.inquire(hash).settled
    t.match(made.finder.inquire(hash).slots, [
      { upstream: 'c', answer: { kind: 'refused', verdict: { reason: 'bad-content-address' } } },
      { upstream: 'd', answer: { kind: 'trusted' } },
    ])
  })
})
