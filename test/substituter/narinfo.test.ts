import { equal } from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import nacl from 'tweetnacl'
import { narFileName } from '../../src/nix/nar-key.ts'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'
import {
  keys,
  claimFor,
  contentAddressed,
  upstreamWith,
  down,
  field,
  signerNames,
} from '../fakes/test-claims.ts'
import { testRule } from '../fakes/test-policy.ts'
import { type Tap, world, type World, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  getNar,
  storeNar,
  fetchNar,
  fetchNarinfo,
  cacheFiles,
  gate,
  isSettled,
} from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash

t.test('a narinfo', async (t) => {
  t.test('comes from the preferred upstream, also where it is slow', async (t) => {
    const slow = gate()
    const a = createFakeUpstream('a', { narinfo: () => slow.promise.then(() => hello.text) })
    const b = upstreamWith('b', claimFor(patternNar, { signers: [keys.b] }))
    const { substituter } = await world(t, { upstreams: [a, b] })
    const answer = substituter.narinfo(hash)
    t.notOk(await isSettled(answer))
    slow.resolve(undefined)
    t.match(await answer, { kind: 'found', upstream: 'a', isStored: false })
  })

  t.test('is asked for once, whoever asks while it runs and after it came', async (t) => {
    const slow = gate()
    const a = createFakeUpstream('a', { narinfo: () => slow.promise.then(() => hello.text) })
    const { substituter } = await world(t, { upstreams: [a] })
    const answers = Array.from({ length: 20 }, () => substituter.narinfo(hash))
    await isSettled(Promise.all(answers))
    slow.resolve(undefined)
    const bodies = (await Promise.all(answers)).map((answer) =>
      answer.kind === 'found' ? answer.body : answer.kind,
    )
    t.equal(new Set(bodies).size, 1)
    await substituter.narinfo(hash)
    await substituter.peek(key)
    t.same(a.asked, [`narinfo ${hash}`])
  })

  t.test('that nobody has, or could tell, is asked for again', async (t) => {
    for (const [kind, narinfo] of [
      ['absent', () => null],
      ['unknown', down],
    ] as const) {
      const a = createFakeUpstream('a', { narinfo })
      const { substituter } = await world(t, { upstreams: [a] })
      t.match(await substituter.narinfo(hash), { kind, slots: [{ upstream: 'a' }] })
      t.match(await substituter.narinfo(hash), { kind })
      t.equal(a.asked.length, 2)
      a.answers.narinfo = () => hello.text
      t.match(await substituter.narinfo(hash), { kind: 'found' })
    }
  })

  t.test('of an optional upstream that is down is absent', async (t) => {
    const a = createFakeUpstream('a', { narinfo: down })
    const b = createFakeUpstream('b')
    const upstreams = [a, b]
    const optional = await world(t, { upstreams, of: { a: { optional: true } } })
    t.match(await optional.substituter.narinfo(hash), { kind: 'absent' })
    t.match(await getNar(optional, key), { kind: 'absent' })
    const strict = await world(t, { upstreams, of: { b: { optional: true } } })
    t.match(await strict.substituter.narinfo(hash), { kind: 'unknown' })
    t.match(await getNar(strict, key), { kind: 'unknown' })
    t.match(await strict.substituter.peek(key), { kind: 'unknown' })
  })

  t.test('that was refused is absent, and its NAR is not fetched', async (t) => {
    const a = upstreamWith('a', claimFor(patternNar, { signers: [keys.b] }))
    const made = await world(t, { upstreams: [a] })
    const answer = await made.substituter.narinfo(hash)
    t.match(answer, { kind: 'absent', slots: [{ answer: { kind: 'refused' } }] })
    t.match(await getNar(made, key), { kind: 'absent' })
    t.notOk(a.asked.some((asked) => asked.startsWith('nar ')))
  })

  t.test('carries the known fields, the signatures that verified, and Weir’s own', async (t) => {
    const claim = claimFor(patternNar, {
      storePath: path(`${hash}-top`),
      signers: [keys.a, keys.b, keys.stranger],
      references: [path(`${hash}-top`), path(`1${hash.slice(1)}-dep`)],
      deriver: path(`2${hash.slice(1)}-top.drv`),
      unknownFields: [['Unknown', 'field']],
      fileSize: 7n,
    })
    const upstreams = [upstreamWith('a', claim), upstreamWith('b')]
    const names = { add: [keys.a.name, keys.b.name, keys.weir.name], replace: [keys.weir.name] }
    const promised = { ...names, keep: [keys.a.name, keys.b.name] }
    for (const mode of ['add', 'replace', 'keep'] as const) {
      const made = await world(t, { upstreams, mode, dir: workFolder(t) })
      const cold = await fetchNarinfo(made, claim)
      await fetchNar(made, claim.key)
      await made.transfers.idle()
      const warm = await fetchNarinfo(made, claim)
      const onDisk = await readFile(join(made.dir, 'cache', `${hash}.narinfo`), 'utf8')
      if (mode === 'replace') t.same(signerNames(onDisk), promised.add, 'stored with all of them')
      else t.equal(onDisk, warm, `${mode}: the cache folder says the same`)
      t.match(cold, /^FileHash/m.test(cold) ? /no FileHash/ : /^StorePath/, 'nothing is known yet')
      for (const narinfo of [cold, warm]) {
        t.same(signerNames(narinfo), promised[mode], mode)
        t.equal(field(narinfo, 'URL'), `nar/${narFileName(claim.key)}`)
        t.equal(field(narinfo, 'Compression'), 'zstd')
        t.equal(field(narinfo, 'Deriver'), claim.narinfo.deriver?.baseName)
        t.equal(field(narinfo, 'Unknown'), null)
        verifySignatures(narinfo)
      }
      const stored = await readFile(join(made.dir, 'cache', 'nar', narFileName(claim.key)))
      t.equal(field(warm, 'FileSize'), String(stored.length))
    }
  })

  t.test('of a path that proves itself is signed only once its NAR was seen', async (t) => {
    const claim = contentAddressed()
    for (const mode of ['add', 'replace', 'keep'] as const) {
      const made = await world(t, {
        upstreams: [upstreamWith('c', claim)],
        mode,
        dir: workFolder(t),
      })
      const before = await fetchNarinfo(made, claim)
      t.same(signerNames(before), [], mode)
      t.ok(field(before, 'CA'))
      await fetchNar(made, claim.key)
      await made.transfers.idle()
      const after = await fetchNarinfo(made, claim)
      t.same(signerNames(after), mode === 'keep' ? [] : [keys.weir.name], mode)
      t.equal(field(after, 'CA'), field(before, 'CA'))
      verifySignatures(after)
    }
  })

  t.test('of a path that proves itself, whose NAR is another, is never signed', async (t) => {
    const lying = contentAddressed({
      narHash: claimFor(smallNar).narinfo.narHash,
      narSize: BigInt(smallNar.length),
    })
    const a = upstreamWith('c', { ...lying, nar: smallNar })
    const made = await world(t, { upstreams: [a] })
    t.match(await getNar(made, lying.key), { kind: 'failed', failure: { kind: 'corrupt' } })
    await made.transfers.idle()
    t.match(await made.substituter.narinfo(lying.key.storePathHash), {
      kind: 'absent',
      slots: [{ answer: { kind: 'refused', verdict: { reason: 'bad-content-address' } } }],
    })
    t.same(await cacheFiles(made), [])
  })

  t.test('of a path that proves itself is had from elsewhere once it was refuted', async (t) => {
    const honest = contentAddressed({ url: 'nar/honest.nar' })
    const lying = contentAddressed({
      narHash: claimFor(smallNar).narinfo.narHash,
      narSize: BigInt(smallNar.length),
    })
    const upstreams = [upstreamWith('c', { ...lying, nar: smallNar }), upstreamWith('d', honest)]
    const made = await world(t, { upstreams })
    t.equal(field(await fetchNarinfo(made, lying), 'NarSize'), String(smallNar.length))
    t.match(await getNar(made, lying.key), { kind: 'failed', failure: { kind: 'corrupt' } })
    await made.transfers.idle()
    t.match(await made.substituter.narinfo(honest.key.storePathHash), { upstream: 'd' })
    await fetchNar(made, honest.key)
    made.clock.advance(2 * 60 * 60_000)
    await made.transfers.idle()
    t.match(await made.substituter.narinfo(honest.key.storePathHash), { isStored: true })
  })

  t.test('that is signed goes before a content address with another NarHash', async (t) => {
    const signed = contentAddressed({ signers: [keys.b], url: 'nar/signed.nar' })
    const lying = contentAddressed({
      narHash: claimFor(smallNar).narinfo.narHash,
      narSize: BigInt(smallNar.length),
    })
    const upstreams = [upstreamWith('c', { ...lying, nar: smallNar }), upstreamWith('b', signed)]
    const made = await world(t, { upstreams })
    t.match(await made.substituter.narinfo(signed.key.storePathHash), { upstream: 'b' })
  })
})

/** Each signature holds, by an implementation and a fingerprint that are not Weir's. */
function verifySignatures(narinfo: string): void {
  const references = must(field(narinfo, 'References')).split(' ').filter(Boolean)
  const message = [
    '1',
    field(narinfo, 'StorePath'),
    field(narinfo, 'NarHash'),
    field(narinfo, 'NarSize'),
    references
      .map((name) => `${storeDir}/${name}`)
      .sort()
      .join(','),
  ].join(';')
  for (const [, name, signature] of narinfo.matchAll(/^Sig: ([^:]*):(.*)$/gm)) {
    const secret = must(Object.values(keys).find((candidate) => candidate.name === name))
    const publicKey = formatPublicKey(publicKeyOf(secret)).slice(secret.name.length + 1)
    const holds = nacl.sign.detached.verify(
      Buffer.from(message),
      Buffer.from(must(signature), 'base64'),
      Buffer.from(publicKey, 'base64'),
    )
    equal(holds, true, name)
  }
}

t.test('where the policy only reports', async (t) => {
  const policy = { enforce: false, rules: [testRule({ from: ['b'] })] }
  const reporting = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const refused: string[] = []
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello), createFakeUpstream('b')],
      policy,
      meter: { wouldRefuse: (reason) => refused.push(reason) },
      ...options,
    })
    return { made, refused }
  }
  const onDisk = ({ dir }: Pick<World, 'dir'>): Promise<string> =>
    readFile(join(dir, 'cache', `${hash}.narinfo`), 'utf8')

  t.test('what it would refuse is served by the plain order, counted and recorded', async (t) => {
    const { made, refused } = await reporting(t)
    for (const isStored of [false, true]) {
      t.match(await made.substituter.narinfo(hash), {
        ...{ kind: 'found', upstream: 'a', rule: 'the rule', isStored },
        wouldRefuse: 'upstream-not-allowed',
      })
      t.match(await made.substituter.narinfo(hash), { wouldRefuse: 'upstream-not-allowed' })
      await storeNar(made, key)
    }
    t.same(refused, Array(4).fill('upstream-not-allowed'), 'each time')
    t.match(made.evidence.events, [
      { kind: 'would-refuse', hash, upstream: 'a', detail: /-hello: upstream-not-allowed$/ },
    ])
    t.match(made.evidence.servedNars, [{ upstream: 'a', rule: null }])
  })

  t.test('what it would refuse is never signed by Weir, in the cache folder neither', async (t) => {
    const { made } = await reporting(t)
    t.same(signerNames(await fetchNarinfo(made, hello)), [keys.a.name])
    await storeNar(made, key)
    t.same(signerNames(await fetchNarinfo(made, hello)), [keys.a.name])
    t.same(signerNames(await onDisk(made)), [keys.a.name])
    const { catalog, dir } = made
    const upstreams = [createFakeUpstream('a', { narinfo: down }), createFakeUpstream('b')]
    const { made: later } = await reporting(t, { catalog, dir, upstreams })
    t.same(signerNames(await fetchNarinfo(later, hello)), [keys.a.name], 'after a restart')
  })

  t.test('what it trusts is signed, and nothing is reported', async (t) => {
    const fromB = claimFor(patternNar, { signers: [keys.b] })
    const upstreams = [createFakeUpstream('a'), upstreamWith('b', fromB)]
    const { made, refused } = await reporting(t, { upstreams })
    for (const isStored of [false, true]) {
      t.match(await made.substituter.narinfo(hash), { upstream: 'b', wouldRefuse: null, isStored })
      t.same(signerNames(await fetchNarinfo(made, hello)), [keys.b.name, keys.weir.name])
      await storeNar(made, key)
    }
    t.same(signerNames(await onDisk(made)), [keys.b.name, keys.weir.name])
    t.same([...refused, ...made.evidence.events], [])
  })

  t.test('another claim than the one that it trusts is not signed', async (t) => {
    const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/b.nar' })
    const upstreams = [upstreamWith('a', hello), upstreamWith('b', other)]
    const { made } = await reporting(t, { upstreams })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a' })
    t.same(signerNames(await fetchNarinfo(made, hello)), [keys.a.name])
  })

  t.test('what is recalled is refused all the same', async (t) => {
    const { made } = await reporting(t)
    await storeNar(made, key)
    made.changePolicy({ blocks: [{ blocked: { kind: 'hash', hash }, reason: 'recalled' }] })
    t.match(await made.substituter.narinfo(hash), {
      kind: 'absent',
      slots: [{ answer: { verdict: { reason: 'blocked' } } }, {}],
    })
    t.equal((await getNar(made, key)).kind, 'absent')
  })

  t.test('what it refuses is refused once it is enforced, stored or not', async (t) => {
    const { made } = await reporting(t)
    await storeNar(made, key)
    made.changePolicy({ enforce: true })
    t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
    t.equal((await getNar(made, key)).kind, 'absent')
  })
})

t.test('of an upstream that is believed without a signature it is never signed', async (t) => {
  const unsigned = claimFor(patternNar, { signers: [] })
  const of = { c: { insecureUnsigned: true } }
  for (const mode of ['add', 'replace', 'keep'] as const) {
    const dir = workFolder(t)
    const made = await world(t, { upstreams: [upstreamWith('c', unsigned)], of, mode, dir })
    t.same(signerNames(await fetchNarinfo(made, unsigned)), [], mode)
    await storeNar(made, key)
    t.match(await made.substituter.narinfo(hash), { upstream: 'c', isStored: true })
    t.same(signerNames(await fetchNarinfo(made, unsigned)), [], 'once its NAR was seen neither')
    t.same(signerNames(await readFile(join(dir, 'cache', `${hash}.narinfo`), 'utf8')), [])
    t.match(made.evidence.servedNars, [{ upstream: 'c', keys: [] }])
    const strict = await world(t, { upstreams: [upstreamWith('c', unsigned)], dir })
    t.equal((await strict.substituter.narinfo(hash)).kind, 'absent', 'nor by any other policy')
  }
})
