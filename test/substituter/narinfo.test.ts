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
import { world } from '../fakes/substituter-world.ts'
import {
  getNar,
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
      answer.kind === 'found' ? answer.body.toString() : answer.kind,
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
      t.equal(onDisk, warm, `${mode}: the cache folder says the same`)
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
    t.same(signerNames(await fetchNarinfo(made, lying)), [])
    t.same(await cacheFiles(made), [])
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
