import t from 'tap'
import type { Explanation } from '../../src/admin/explanation.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { createAdminWorld } from '../fakes/admin-world.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNar, fetchNarinfo, storeNar } from '../fakes/substituter-client.ts'
import type { Tap } from '../fakes/substituter-world.ts'
import {
  claimFor,
  contentAddressed,
  down,
  keys,
  numbered,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'

const hello = claimFor(patternNar)
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const { key } = hello
const hash = key.storePathHash
const onlyA = [testRule({ name: 'only a', from: ['a'], signedBy: [publicKeyOf(keys.a)] })]

const worldOf = (
  t: Tap,
  upstreams: readonly FakeUpstream[],
  settings: Partial<Settings> = {},
  more: Partial<Parameters<typeof createAdminWorld>[1]> = {},
) => createAdminWorld(t, { upstreams, settings, ...more })

/** The upstream's part of an explanation. */
const of = ({ upstreams }: Explanation, name: string) =>
  upstreams.find(({ upstream }) => upstream === name)

t.test('a trusted path is explained by its claim, rule, signatures and keys', async (t) => {
  const made = await worldOf(t, [upstreamWith('a', hello), upstreamWith('b', ofB)], {
    rules: onlyA,
  })
  const explained = await made.admin.explain(hash, { live: true, to: 'all' })
  t.match(explained, {
    ...{ hash, path: `${hash}-hello`, verdict: 'trusted', upstream: 'a', source: 'live' },
    policy: { epoch: made.live.current().epoch, enforce: true },
    reason: 'a has it, signed by a.test-1; the rule "only a" decides',
    rule: { name: 'only a', from: ['a'], signedBy: [keys.a.name], agree: 1 },
    wouldRefuse: null,
  })
  t.strictSame(of(explained, 'a'), {
    ...{ upstream: 'a', answer: 'trusted', reason: null },
    claim: {
      path: `${hash}-hello`,
      narHash: `sha256:${key.narHash}`,
      narSize: String(patternNar.length),
      references: 0,
      ca: null,
      rule: 'only a',
      voucher: { kind: 'signature', keyName: keys.a.name },
      signatures: [{ keyName: keys.a.name, result: 'vouches' }],
    },
  })
})

t.test('each upstream is named with what it said', async (t) => {
  const forged = claimFor(patternNar, { signers: [keys.stranger] })
  const upstreams = [
    createFakeUpstream('a'),
    upstreamWith('b', forged),
    createFakeUpstream('c', { narinfo: down }),
    createFakeUpstream('d'),
  ]
  const made = await worldOf(t, upstreams)
  await made.admin.suspend('d', 'why')
  const explained = await made.admin.explain(hash, { live: true, to: 'all' })
  t.match(explained, { verdict: 'unknown', upstream: null, path: `${hash}-hello` })
  t.match(explained.reason, /^it cannot be told: b: unknown-key; c: connect, refused$/)
  t.match(of(explained, 'a'), { answer: 'absent', reason: null, claim: null })
  t.match(of(explained, 'b'), {
    ...{ answer: 'refused', reason: 'unknown-key' },
    claim: { voucher: null, signatures: [{ result: 'unknown-key' }] },
  })
  t.match(of(explained, 'c'), { answer: 'unknown', reason: 'connect, refused', claim: null })
  t.match(of(explained, 'd'), { answer: 'not-asked', reason: 'suspended' })
})

t.test('a refused path is explained by the reason and the rule', async (t) => {
  const elsewhere = [createFakeUpstream('a'), upstreamWith('b', ofB)]
  const refused = await worldOf(t, elsewhere, { rules: onlyA })
  t.match(await refused.admin.explain(hash, { live: true, to: 'all' }), {
    verdict: 'refused',
    reason: 'b: upstream-not-allowed; the rule "only a" decides',
  })
  const policy = { unmatched: 'deny', enforce: true, realisations: false } as const
  const unasked = await worldOf(t, elsewhere, { rules: onlyA, policy })
  t.match(
    await unasked.admin.explain(hash, { live: true, to: 'all' }),
    { verdict: 'absent', reason: 'nobody is known to have it' },
    'whom no rule could allow is not asked',
  )
  const wrongKey = await worldOf(t, [upstreamWith('a', ofB)], { rules: onlyA })
  const explained = await wrongKey.admin.explain(hash, { live: true, to: 'all' })
  t.match(explained, { verdict: 'refused', upstream: null, rule: { name: 'only a' } })
  t.equal(explained.reason, 'a: unknown-key; the rule "only a" decides')
  const unmatched = await worldOf(t, [upstreamWith('a', hello)], {
    rules: [testRule({ paths: ['other-*'] })],
    policy,
  })
  t.equal(
    (await unmatched.admin.explain(hash, { live: true, to: 'all' })).reason,
    'a: upstream-not-allowed; no rule matches its name, and what none matches is refused',
  )
})

t.test('a recalled path says why it was recalled, and who has it', async (t) => {
  const made = await worldOf(t, [upstreamWith('a', hello)])
  await fetchNar(made, key, '192.0.2.9')
  await made.transfers.idle()
  await made.admin.recall({ blocked: { kind: 'hash', hash }, reason: 'CVE-2024-3094' })
  const explained = await made.admin.explain(hash, { live: true, to: 'all' })
  t.match(explained, {
    verdict: 'refused',
    stored: [],
    served: [{ client: '192.0.2.9', count: 1, path: `${hash}-hello` }],
    events: [{ kind: 'recall', hash }],
  })
  t.match(of(explained, 'a'), { answer: 'refused', reason: 'blocked: CVE-2024-3094' })
})

t.test('what nobody knows of is explained without asking anybody', async (t) => {
  const a = upstreamWith('a', hello)
  const made = await worldOf(t, [a])
  const explained = await made.admin.explain(hash, { live: false, to: 'all' })
  t.match(explained, {
    ...{ verdict: 'unknown', path: null, source: 'nothing', upstream: null, rule: null },
    ...{ stored: [], served: [], events: [], refusedReferences: [] },
  })
  t.match(of(explained, 'a'), { answer: 'not-asked', reason: null, claim: null })
  t.same(a.asked, [])
})

t.test('what was answered lately is explained as it was answered', async (t) => {
  const a = upstreamWith('a', hello)
  const made = await worldOf(t, [a])
  await fetchNarinfo(made, hello)
  a.asked.length = 0
  a.answers.narinfo = () => null
  t.match(await made.admin.explain(hash, { live: false, to: 'all' }), {
    ...{ verdict: 'trusted', source: 'remembered', upstream: 'a' },
  })
  t.same(a.asked, [])
  t.match(await made.admin.explain(hash, { live: true, to: 'all' }), {
    verdict: 'absent',
    source: 'live',
  })
  t.equal(a.asked.length, 1, 'live asks anew')
})

t.test('what is only stored is explained by today’s policy', async (t) => {
  const catalog = openSqliteCatalog(':memory:')
  const made = await worldOf(t, [upstreamWith('a', hello), upstreamWith('b', ofB)], {}, { catalog })
  await made.finder.inquire(hash).settled
  const bytes = await storeNar(made, key)
  const a = upstreamWith('a', hello)
  const stored = {
    narHash: `sha256:${key.narHash}`,
    upstream: 'a',
    witnesses: ['b'],
    fileBytes: bytes.length,
    storedAtMs: made.clock.nowMs(),
  }
  const later = await worldOf(t, [a, createFakeUpstream('b')], {}, { catalog, dir: made.dir })
  t.match(await later.admin.explain(hash, { live: false, to: 'all' }), {
    ...{ verdict: 'trusted', source: 'stored', upstream: 'a', path: `${hash}-hello` },
    stored: [{ ...stored, isTrusted: true }],
  })
  await later.admin.suspend('a', 'why')
  t.match(await later.admin.explain(hash, { live: false, to: 'all' }), {
    verdict: 'trusted',
    upstream: 'b',
  })
  await later.admin.suspend('b', 'why')
  t.match(await later.admin.explain(hash, { live: false, to: 'all' }), {
    verdict: 'refused',
    stored: [{ ...stored, isTrusted: false }],
  })
  t.same(a.asked, [])
})

t.test('report only says what the policy would refuse', async (t) => {
  const made = await worldOf(t, [upstreamWith('a', hello), upstreamWith('b', ofB)], {
    rules: [testRule({ from: ['b'], signedBy: [publicKeyOf(keys.stranger)] })],
    policy: { unmatched: 'allow', enforce: false, realisations: false },
  })
  t.match(await made.admin.explain(hash, { live: true, to: 'all' }), {
    ...{ verdict: 'trusted', upstream: 'a', wouldRefuse: 'upstream-not-allowed' },
    policy: { enforce: false },
  })
})

t.test('a path says which content address proves it', async (t) => {
  const claim = contentAddressed()
  const made = await worldOf(t, [upstreamWith('c', claim)])
  const explained = await made.admin.explain(claim.key.storePathHash, { live: true, to: 'all' })
  t.equal(explained.reason, 'c has it, its content address proves it; no rule matches its name')
  t.match(of(explained, 'c')?.claim, { ca: /^fixed:sha256:/, voucher: { kind: 'content-address' } })
})

t.test('an upstream that is believed without a signature is named as such', async (t) => {
  const unsigned = claimFor(patternNar, { signers: [] })
  const upstreams = [upstreamWith('c', unsigned)]
  const made = await worldOf(t, upstreams, {}, { of: { c: { insecureUnsigned: true } } })
  t.match(
    (await made.admin.explain(hash, { live: true, to: 'all' })).reason,
    /believed without a signature/,
  )
})

t.test('claims that differ are explained with what happened', async (t) => {
  const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/b.nar' })
  const made = await worldOf(t, [upstreamWith('a', hello), upstreamWith('b', other)], {
    rules: [testRule({ onDivergence: 'refuse' })],
  })
  const explained = await made.admin.explain(hash, { live: true, to: 'all' })
  t.match(explained, { verdict: 'refused', events: [{ kind: 'divergence', hash }] })
  for (const name of ['a', 'b']) t.match(of(explained, name), { reason: 'divergence' })
})

t.test('references', async (t) => {
  const [recalled, foreign, fine, untrusted] = [1, 2, 3, 4].map((number) => numbered(number))
  const deps = [recalled, foreign, fine, untrusted].map((claim) => {
    if (claim === undefined) throw new TypeError('there are four')
    return claim
  })
  const [one, two, three, four] = deps.map(({ narinfo }) => narinfo.storePath.baseName)
  const top = claimFor(patternNar, {
    references: [hello, ...deps].map(({ narinfo }) => narinfo.storePath),
  })
  const forged = numbered(4, { signers: [keys.stranger] })
  const referring = async (t: Tap) => {
    const a = upstreamWith('a', top, ...deps.slice(0, 3), forged)
    const made = await worldOf(t, [a], {
      rules: [testRule({ name: 'nobody', paths: ['p2'], from: ['gone'] })],
      blocks: [
        { blocked: { kind: 'package', package: 'p1', versions: null }, reason: 'CVE-2024-3094' },
      ],
    })
    return { made, a }
  }
  const blocked = { path: one, reason: 'blocked: CVE-2024-3094' }
  const notAllowed = { path: two, reason: 'no upstream may vouch for it' }

  t.test('that would be refused are named, as far as is known without asking', async (t) => {
    const { made, a } = await referring(t)
    await fetchNarinfo(made, top)
    a.asked.length = 0
    const { refusedReferences } = await made.admin.explain(hash, { live: false, to: 'all' })
    t.strictSame(refusedReferences, [blocked, notAllowed])
    t.same(a.asked, [])
  })

  t.test('are asked for where it is live, but for the path itself', async (t) => {
    const { made, a } = await referring(t)
    const { refusedReferences } = await made.admin.explain(hash, { live: true, to: 'all' })
    const refused = { path: four, reason: 'a: unknown-key' }
    t.strictSame(refusedReferences, [blocked, notAllowed, refused])
    t.notOk(refusedReferences.some(({ path }) => path === three))
    t.equal(a.asked.filter((what) => what === `narinfo ${hash}`).length, 1)
  })
})

t.test('a recalled hash is refused, where nothing else is known of it', async (t) => {
  for (const blocked of [
    { kind: 'hash', hash },
    { kind: 'path', baseName: `${hash}-hello` },
  ] as const) {
    const made = await worldOf(t, [upstreamWith('a')])
    await made.admin.recall({ blocked, reason: 'of a test' })
    const explained = await made.admin.explain(hash, { live: false, to: 'all' })
    t.match(explained, { verdict: 'refused', reason: 'blocked: of a test', source: 'nothing' })
  }
})
