import { equal } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import nacl from 'tweetnacl'
import { storePathOfContentAddress } from '../../src/nix/content-address.ts'
import { narFileName, type NarKey } from '../../src/nix/nar-key.ts'
import { formatPublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import type { Answer } from '../../src/policy/choose.ts'
import { readClaim } from '../../src/policy/claim.ts'
import { judge } from '../../src/policy/verdict.ts'
import type { IngestOutcome, NarSource, SourceFailure } from '../../src/ports/nar-ingest.ts'
import type { NarFile } from '../../src/ports/nar-store.ts'
import type { Meter } from '../../src/ports/meter.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { askUpstreams } from '../../src/substituter/ask-upstreams.ts'
import { createBuildLogs } from '../../src/substituter/build-logs.ts'
import { Inquiry } from '../../src/substituter/inquiry.ts'
import { transferBody } from '../../src/substituter/nar-body.ts'
import { createSuspects } from '../../src/substituter/suspects.ts'
import { Transfer, TransferBrokenError } from '../../src/substituter/transfer.ts'
import { bodyOf, patternNar, randomBytes, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest, fakeEtag, type FakeRun } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { workFolder } from '../fakes/work-folder.ts'
import {
  claimFor,
  createWorld,
  fetchNar,
  fetchNarinfo,
  getNar,
  isSettled,
  keys,
  readBody,
  resumeNar,
  type TestClaim,
  upstreamWith,
  type World,
  type WorldOptions,
} from '../fakes/substituter-world.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'
import { writeNar } from '../nix/tree.ts'

const never = new AbortController().signal
const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const down = (): never => {
  throw new UpstreamError('connect', 'refused')
}

/** The claims of another path, numbered. */
function numbered(number: number): TestClaim {
  const name = `${'0'.repeat(30)}${String(number).padStart(2, '0')}-p${number}`
  return claimFor(randomBytes(1000, number), { storePath: path(name), url: `nar/${number}.nar` })
}

/** The flat content-addressed path of a file, without a signature where nobody is said to sign. */
function contentAddressed(changes: Parameters<typeof claimFor>[1] = {}): TestClaim {
  const contents = Buffer.from('hello')
  const nar = writeNar({ type: 'regular', executable: false, contents })
  const digest = createHash('sha256').update(contents).digest()
  const ca = { method: 'flat', hash: { algorithm: 'sha256', bytes: digest } } as const
  const storePath = storePathOfContentAddress(ca, 'hello', [], { selfReference: false }, storeDir)
  return claimFor(nar, { storePath: must(storePath), ca, signers: [], ...changes })
}

function field(narinfo: string, name: string): string | null {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(narinfo)?.[1] ?? null
}

function signerNames(narinfo: string): readonly string[] {
  return [...narinfo.matchAll(/^Sig: ([^:]*):/gm)].map(([, name]) => must(name))
}

/** The files in the cache folder, but for its description. */
async function cacheFiles({ dir }: Pick<World, 'dir'>): Promise<readonly string[]> {
  const cache = join(dir, 'cache')
  const entries = await readdir(cache, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name !== 'nix-cache-info')
    .map(({ name }) => name)
    .sort()
}

async function world(t: Tap, options: Omit<WorldOptions, 'dir'> & { readonly dir?: string }) {
  const made = await createWorld({ ...options, dir: options.dir ?? workFolder(t) })
  t.teardown(() => made.transfers.idle())
  return made
}

type Tap = { teardown(act: () => unknown): unknown }

/** A gate that a test opens. */
const gate = (): PromiseWithResolvers<undefined> => Promise.withResolvers<undefined>()

t.test('an inquiry', async (t) => {
  const policy = {
    storeDir,
    maxNarBytes: 2 ** 40,
    upstreams: [
      { name: 'a', keys: [publicKeyOf(keys.a)], optional: false },
      { name: 'b', keys: [publicKeyOf(keys.b)], optional: false },
    ],
  }
  const judged = (upstream: string, { text }: TestClaim): Answer => {
    const reading = readClaim(policy, upstream, hash, text)
    if (reading.kind === 'malformed') throw new TypeError(reading.reason)
    const { claim } = reading
    const verdict = judge(policy, claim)
    return verdict.kind === 'trusted'
      ? { kind: 'trusted', claim, verdict }
      : { kind: 'refused', claim, verdict }
  }
  const trusted = {
    a: judged('a', hello),
    b: judged('b', claimFor(patternNar, { signers: [keys.b] })),
  }
  const others: Record<string, Answer> = {
    absent: { kind: 'absent' },
    refused: judged('a', claimFor(patternNar, { signers: [keys.stranger] })),
    unknown: { kind: 'unknown', code: 'connect', reason: 'refused' },
  }
  const ask = (...optionals: readonly boolean[]) => {
    const answers = optionals.map(() => Promise.withResolvers<Answer>())
    const inquiry = new Inquiry(
      answers.map(({ promise }, index) => ({
        upstream: must(['a', 'b', 'c'][index]),
        optional: optionals[index] ?? false,
        answer: promise,
      })),
    )
    return { inquiry, say: (index: number, answer: Answer) => answers[index]?.resolve(answer) }
  }

  t.test('waits for the preferred upstream, however early another one answers', async (t) => {
    const { inquiry, say } = ask(false, false)
    say(1, trusted.b)
    t.notOk(await isSettled(inquiry.chosen))
    t.same(inquiry.trusted(), [trusted.b], 'what has come is known all the same')
    say(0, trusted.a)
    t.match(await inquiry.chosen, { kind: 'trusted', answer: { claim: { upstream: 'a' } } })
  })

  t.test('goes by preference where the preferred upstream has no trusted claim', async (t) => {
    for (const [name, answer] of Object.entries(others)) {
      const { inquiry, say } = ask(false, false)
      say(1, trusted.b)
      say(0, answer)
      t.match(await inquiry.chosen, { kind: 'trusted', answer: { claim: { upstream: 'b' } } }, name)
    }
  })

  t.test(
    'does not wait for less preferred upstreams, and still counts their answers',
    async (t) => {
      const { inquiry, say } = ask(false, false)
      say(0, trusted.a)
      t.match(await inquiry.chosen, { kind: 'trusted' })
      t.same(inquiry.trusted(), [trusted.a])
      t.notOk(await isSettled(inquiry.settled))
      say(1, trusted.b)
      await inquiry.settled
      t.same(inquiry.trusted(), [trusted.a, trusted.b], 'in order of preference')
    },
  )

  t.test('absent is what every upstream says, or was refused for', async (t) => {
    const outcomes = new Map<string, string>()
    for (const [first, one] of Object.entries(others)) {
      for (const [second, other] of Object.entries(others)) {
        const { inquiry, say } = ask(false, true)
        say(0, one)
        say(1, other)
        outcomes.set(`${first}, optional ${second}`, (await inquiry.chosen).kind)
      }
    }
    for (const [name, kind] of outcomes) {
      t.equal(kind, name.startsWith('unknown') ? 'unknown' : 'absent', name)
    }
    t.equal((await new Inquiry([]).chosen).kind, 'absent', 'without upstreams')
  })
})

t.test('asking upstreams', async (t) => {
  const deps = (
    upstreams: readonly FakeUpstream[],
    changes: { meter?: Meter; stopping?: AbortSignal } = {},
  ) => ({
    log: createSilentLog(),
    clock: createFixedClock(),
    meter: createNullMeter(),
    upstreams,
    narinfoTimeoutMs: 60_000,
    stopping: never,
    policy: {
      storeDir,
      maxNarBytes: 10_000_000,
      upstreams: upstreams.map(({ name }) => ({
        name,
        keys: [publicKeyOf(keys.a)],
        optional: false,
      })),
    },
    ...changes,
  })

  t.test('all are asked at once', async (t) => {
    const all = ['a', 'b', 'c'].map((name) =>
      createFakeUpstream(name, { narinfo: () => new Promise(() => undefined) }),
    )
    askUpstreams(deps(all), hash)
    t.same(
      all.map(({ asked }) => asked),
      all.map(() => [`narinfo ${hash}`]),
    )
  })

  t.test('what is no claim is unknown, never absent', async (t) => {
    const other = claimFor(patternNar, { storePath: path(`1${hash.slice(1)}-hello`) })
    const malformed: Record<string, Uint8Array> = {
      'a web page': Buffer.from('<!doctype html>\n'),
      'an empty file': Buffer.alloc(0),
      'a cut narinfo': hello.text.subarray(0, hello.text.length - 1),
      "another path's narinfo": other.text,
      'a NarSize above the limit': claimFor(patternNar, { narSize: 10_000_001n }).text,
    }
    for (const [name, text] of Object.entries(malformed)) {
      const judged: string[] = []
      const meter = createNullMeter({ claimJudged: (_, result) => judged.push(result) })
      const asked = deps([createFakeUpstream('a', { narinfo: () => text })], { meter })
      const inquiry = askUpstreams(asked, hash)
      t.equal((await inquiry.chosen).kind, 'unknown', name)
      t.match(inquiry.slots, [{ answer: { kind: 'unknown', code: 'malformed' } }])
      t.same(judged, ['malformed'])
      t.equal(asked.log.named('claim.malformed').length, 1)
    }
  })

  t.test('who fails is unknown, who says no is absent', async (t) => {
    const fails = async (error: unknown) => {
      const results: string[] = []
      const meter = createNullMeter({ upstreamAnswered: ({ result }) => results.push(result) })
      const asked = deps(
        [
          createFakeUpstream('a', {
            narinfo: () => {
              throw error
            },
          }),
          createFakeUpstream('b'),
        ],
        { meter },
      )
      const inquiry = askUpstreams(asked, hash)
      t.equal((await inquiry.chosen).kind, 'unknown')
      t.same(results.sort(), ['absent', 'error'])
      t.match(inquiry.slots[1], { answer: { kind: 'absent' } })
      return { answer: inquiry.slots[0]?.answer, errors: asked.log.named('internal.error').length }
    }
    t.match(await fails(new UpstreamError('timeout', 'slow')), {
      answer: { kind: 'unknown', code: 'timeout', reason: 'slow' },
      errors: 0,
    })
    const bug = await fails(new TypeError('a bug'))
    t.match(bug, { answer: { kind: 'unknown', code: 'internal' }, errors: 1 })
  })

  t.test('what each claim was judged as is counted and told', async (t) => {
    const judged: string[] = []
    const meter = createNullMeter({
      claimJudged: (upstream, result) => judged.push(`${upstream} ${result}`),
    })
    const forged = {
      ...hello.narinfo.signatures[0],
      keyName: keys.a.name,
      bytes: new Uint8Array(64),
    }
    const bad = claimFor(patternNar, { signers: [] })
    const text = Buffer.concat([
      bad.text,
      Buffer.from(`Sig: ${forged.keyName}:${Buffer.from(forged.bytes).toString('base64')}\n`),
    ])
    const asked = deps(
      [
        upstreamWith('a', hello),
        upstreamWith('b', claimFor(patternNar, { signers: [keys.stranger] })),
        createFakeUpstream('c', { narinfo: () => text }),
      ],
      { meter },
    )
    await askUpstreams(asked, hash).settled
    t.same(judged.sort(), ['a trusted', 'b unknown-key', 'c no-trusted-signature'])
    t.match(asked.log.named('signature.bad'), [{ upstream: 'c', keyName: keys.a.name }])
    t.equal(asked.log.named('claim.refused').length, 2)
  })

  t.test('a question ends when Weir stops', async (t) => {
    const stopping = new AbortController()
    const upstream = createFakeUpstream('a', {
      narinfo: (_, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error)
          })
        }),
    })
    const asked = deps([upstream], { stopping: stopping.signal })
    const inquiry = askUpstreams(asked, hash)
    stopping.abort()
    await inquiry.settled
    t.match(inquiry.slots, [{ answer: { kind: 'unknown', code: 'stopping' } }])
    t.same(asked.log.events, [], 'and nobody is blamed')
  })
})

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
    const optional = await world(t, { upstreams, policy: { a: { optional: true } } })
    t.match(await optional.substituter.narinfo(hash), { kind: 'absent' })
    t.match(await getNar(optional, key), { kind: 'absent' })
    const strict = await world(t, { upstreams, policy: { b: { optional: true } } })
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

t.test('a NAR', async (t) => {
  t.test('is fetched once, stored, and then served without any upstream', async (t) => {
    const a = upstreamWith('a', hello)
    const catalog = openSqliteCatalog(':memory:')
    const made = await world(t, { upstreams: [a], catalog })
    const cold = await fetchNar(made, key)
    t.ok(Buffer.compare(zstdDecompressSync(cold), patternNar) === 0)
    await made.transfers.idle()
    t.same(a.asked, [`narinfo ${hash}`, 'nar nar/hello.nar'])
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
    t.same(made.keeper.totals(), { count: 1, bytes: cold.length })
    const restarted = await world(t, {
      upstreams: [createFakeUpstream('a', { narinfo: down, nar: down })],
      catalog,
      dir: made.dir,
    })
    for (const { substituter } of [made, restarted]) {
      t.match(await substituter.narinfo(hash), { kind: 'found', isStored: true, upstream: 'a' })
      const answer = await substituter.nar(key, { isResume: false }, never)
      if (answer.kind !== 'found') throw new Error(answer.kind)
      t.match(answer, { isStored: true, upstream: 'a', body: { size: cold.length } })
      t.same(await readBody(answer.body), cold)
      t.equal(await answer.body.wholeSize(never), cold.length)
      t.match(await substituter.peek(key), {
        kind: 'found',
        size: cold.length,
        etag: answer.body.etag,
      })
      await answer.body[Symbol.asyncDispose]()
    }
    t.equal(a.asked.length, 2)
    t.equal(restarted.store.openFiles, 0)
  })

  t.test('is fetched once, however many ask at the same moment', async (t) => {
    const a = upstreamWith('a', hello)
    const open = gate()
    const ingest = createFakeNarIngest(async (run) => {
      await open.promise
      await run.append(patternNar)
      return run.verified()
    })
    const made = await world(t, { upstreams: [a], ingest })
    const inquiry = made.finder.inquire(hash)
    await inquiry.settled
    const one = made.transfers.start(key, inquiry)
    const two = made.transfers.start(key, inquiry)
    t.equal(one, two)
    t.equal(made.transfers.running(key), one)
    t.equal(made.transfers.start(key, inquiry), one)
    const all = Array.from({ length: 30 }, () => fetchNar(made, key))
    open.resolve(undefined)
    t.ok((await Promise.all(all)).every((bytes) => Buffer.compare(bytes, patternNar) === 0))
    await made.transfers.idle()
    t.equal(ingest.jobs.length, 1)
    t.equal(made.transfers.running(key), null)
    t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
  })

  t.test('is verified first up to a size, and released as it comes above it', async (t) => {
    const size = patternNar.length
    for (const [verifyFirstBytes, verifyFirst] of [
      [size, true],
      [size - 1, false],
    ] as const) {
      const ingest = createFakeNarIngest(async () => ({ kind: 'failed' }))
      const upstreams = [upstreamWith('a', hello)]
      const made = await world(t, { upstreams, ingest, verifyFirstBytes })
      await getNar(made, key)
      t.match(ingest.jobs, [{ verifyFirst, narSize: size, storePathHash: hash }])
    }
  })

  t.test('whose hash nobody claims is absent, and not fetched', async (t) => {
    const a = upstreamWith('a', hello)
    const made = await world(t, { upstreams: [a] })
    const other: NarKey = { ...key, narHash: claimFor(smallNar).key.narHash }
    t.match(await getNar(made, other), { kind: 'absent' })
    t.match(await made.substituter.peek(other), { kind: 'absent' })
    t.same(a.asked, [`narinfo ${hash}`])
  })

  t.test('that only a less preferred upstream claims is had from it', async (t) => {
    const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/other.nar' })
    const made = await world(t, { upstreams: [upstreamWith('a', hello), upstreamWith('b', other)] })
    t.match(await made.substituter.narinfo(hash), { upstream: 'a' })
    t.ok(Buffer.compare(zstdDecompressSync(await fetchNar(made, other.key)), smallNar) === 0)
  })
})

t.test('sources of a NAR', async (t) => {
  const fromB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })

  t.test('are the trusted claims for it, in order of preference', async (t) => {
    const ingest = createFakeNarIngest(async () => ({ kind: 'failed' }))
    const upstreams = [
      upstreamWith('a', hello),
      upstreamWith('c', claimFor(patternNar, { signers: [keys.stranger] })),
      upstreamWith('d', claimFor(smallNar, { signers: [keys.a] })),
      upstreamWith('b', fromB),
    ]
    const policy = { d: { keys: [publicKeyOf(keys.a)] } }
    const made = await world(t, { upstreams, ingest, policy })
    await made.finder.inquire(hash).settled
    await getNar(made, key)
    t.same(
      ingest.jobs.map(({ sources }) => sources.map(({ upstream, url }) => [upstream, url])),
      [
        [
          ['a', 'nar/hello.nar'],
          ['b', 'nar/b.nar'],
        ],
      ],
    )
  })

  t.test('may come late: a late answer is a second source', async (t) => {
    const late = gate()
    const b = upstreamWith('b', fromB)
    b.answers.narinfo = () => late.promise.then(() => fromB.text)
    const a = upstreamWith('a', hello)
    a.answers.nar = down
    const made = await world(t, { upstreams: [a, b] })
    const bytes = fetchNar(made, key)
    t.notOk(await isSettled(bytes), 'nobody gives up before all have answered')
    late.resolve(undefined)
    t.ok(Buffer.compare(zstdDecompressSync(await bytes), patternNar) === 0)
  })

  t.test('that fail before anything was released are an answer that says why', async (t) => {
    const wrong = Buffer.from(patternNar)
    wrong[100] = 1
    const failures: Record<string, readonly [FakeUpstream['answers']['nar'], string]> = {
      absent: [() => null, 'absent'],
      unknown: [down, 'connect'],
      corrupt: [() => bodyOf(wrong), 'nar-hash-mismatch'],
    }
    for (const [kind, [nar, code]] of Object.entries(failures)) {
      const a = upstreamWith('a', hello)
      a.answers.nar = must(nar)
      const failed: string[] = []
      const meter = { narSourceFailed: (_: string, code: string) => failed.push(code) }
      const made = await world(t, { upstreams: [a], meter })
      const answer = await getNar(made, key)
      t.match(answer, { kind: 'failed', failure: { kind, failures: [{ upstream: 'a', code }] } })
      t.same(failed, [code], 'counted')
      t.equal(made.log.named('nar.source-failed').length, 1, 'told')
      await made.transfers.idle()
      t.same(await cacheFiles(made), [], 'nothing is left')
      t.equal(made.store.openFiles, 0)
      t.not((await resumeNar(made, key)).kind, 'broken', 'nothing was handed out that was wrong')
    }
  })

  t.test('one that could not tell outweighs one that was wrong', async (t) => {
    const a = upstreamWith('a', hello)
    const b = upstreamWith('b', fromB)
    a.answers.nar = () => bodyOf(smallNar)
    b.answers.nar = down
    const made = await world(t, { upstreams: [a, b] })
    await made.finder.inquire(hash).settled
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'unknown' } })
  })

  t.test('that gave a wrong NAR are not asked again at once, and later last', async (t) => {
    const a = upstreamWith('a', hello)
    const b = upstreamWith('b', fromB)
    a.answers.nar = () => bodyOf(smallNar)
    b.answers.nar = down
    const clock = createFixedClock()
    const made = await world(t, { upstreams: [a, b], clock })
    const nars = () => [...a.asked, ...b.asked].filter((asked) => asked.startsWith('nar ')).length
    await made.finder.inquire(hash).settled
    await getNar(made, key)
    t.equal(nars(), 2)
    b.answers.nar = () => null
    t.match(await getNar(made, key), { failure: { kind: 'corrupt' } })
    t.equal(nars(), 3, 'the wrong one is left out')
    clock.advance(60_000)
    b.answers.nar = () => bodyOf(patternNar)
    await fetchNar(made, key)
    t.equal(nars(), 4, 'the other one is asked first')
  })

  t.test('are not asked where all were wrong a moment ago', async (t) => {
    const a = upstreamWith('a', hello)
    a.answers.nar = () => bodyOf(smallNar)
    const made = await world(t, { upstreams: [a] })
    await getNar(made, key)
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'corrupt' } })
    t.equal(a.asked.filter((asked) => asked.startsWith('nar ')).length, 1)
  })

  t.test('the claim that is kept is the preferred one, whoever delivered', async (t) => {
    const renamed = claimFor(patternNar, {
      storePath: path(`${hash}-harmless`),
      signers: [keys.b],
      url: 'nar/b.nar',
    })
    const a = upstreamWith('a', hello)
    a.answers.nar = down
    const kept = `${storeDir}/${hash}-hello`
    for (const isLate of [false, true]) {
      const late = gate()
      const b = upstreamWith('b', renamed)
      b.answers.narinfo = () => late.promise.then(() => renamed.text)
      if (!isLate) late.resolve(undefined)
      const made = await world(t, { upstreams: [a, b], dir: workFolder(t) })
      if (!isLate) await made.finder.inquire(hash).settled
      t.equal(field(await fetchNarinfo(made, hello), 'StorePath'), kept)
      const answer = fetchNar(made, key)
      if (isLate) await isSettled(answer)
      late.resolve(undefined)
      await answer
      await made.transfers.idle()
      t.equal(field(await fetchNarinfo(made, hello), 'StorePath'), kept, isLate ? 'late' : 'early')
    }
  })

  t.test('Weir never signs a NarSize that the NAR does not have', async (t) => {
    const signed = contentAddressed({ signers: [keys.a] })
    const lying = contentAddressed({ narSize: signed.narinfo.narSize + 1000n, url: 'nar/c.nar' })
    const a = upstreamWith('a', signed)
    a.answers.nar = down
    const made = await world(t, { upstreams: [a, upstreamWith('c', lying)] })
    await made.finder.inquire(signed.key.storePathHash).settled
    await getNar(made, signed.key)
    await made.transfers.idle()
    const narinfo = await fetchNarinfo(made, signed)
    t.equal(field(narinfo, 'NarSize'), String(signed.narinfo.narSize))
  })
})

t.test('readers of a NAR on its way', async (t) => {
  const content = randomBytes(50_000, 1)
  /** An ingestion that writes and releases 10,000 bytes at each opening of its gates, then ends. */
  const stepwise = (end: (run: FakeRun) => Promise<IngestOutcome> = (run) => run.verified()) => {
    const gates = Array.from({ length: 6 }, gate)
    const ingest = createFakeNarIngest(async (run) => {
      for (const [step, { promise }] of gates.entries()) {
        await promise
        if (step === 5) break
        const part = content.subarray(step * 10_000, (step + 1) * 10_000)
        run.events.released(await run.append(part), fakeEtag)
      }
      return end(run)
    })
    return { ingest, step: (index: number) => gates[index]?.resolve(undefined) }
  }
  const allSteps = [0, 1, 2, 3, 4, 5]
  const wrongNar: SourceFailure = {
    upstream: 'a',
    kind: 'corrupt',
    code: 'nar-hash-mismatch',
    message: 'wrong',
  }

  t.test('get the same bytes, each at its own speed', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const fast = getNar(made, key)
    const slow = getNar(made, key)
    const leaving = getNar(made, key)
    t.notOk(await isSettled(fast), 'there is no answer before there is something to say')
    step(0)
    const bodies = (await Promise.all([fast, slow, leaving])).map((answer) => {
      if (answer.kind !== 'found') throw new Error(answer.kind)
      equal(answer.isStored, false)
      return answer.body
    })
    const [one, two, three] = [must(bodies[0]), must(bodies[1]), must(bodies[2])]
    t.same([one.size, one.etag], [null, fakeEtag], 'nobody knows its size yet')
    const size = one.wholeSize(never)
    const fastBytes = readBody(one)
    const first = Buffer.alloc(100)
    t.equal(await two.read(first, 0, never), 100)
    t.equal(await three.read(first, 500, never), 100)
    await three[Symbol.asyncDispose]()
    await three[Symbol.asyncDispose]()
    t.notOk(await isSettled(two.read(Buffer.alloc(1), 10_000, never)), 'waits for what is to come')
    for (const index of allSteps) step(index)
    t.same(await fastBytes, content)
    t.equal(await size, content.length)
    await one[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await readBody(two, 777), content, 'also when the transfer is over')
    t.equal(two.size, content.length)
    t.equal(made.store.openFiles, 1, 'the file is open for the last reader')
    await two[Symbol.asyncDispose]()
    t.equal(made.store.openFiles, 0)
    t.same(await fetchNar(made, key), content, 'and served from the store')
  })

  t.test('that give up waiting disturb nobody', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const abort = new AbortController()
    const reason = new Error('the client went away')
    const early = made.substituter.nar(key, { isResume: false }, abort.signal)
    const staying = getNar(made, key)
    await isSettled(early)
    abort.abort(reason)
    t.equal(await early.catch((error: unknown) => error), reason)
    step(0)
    const answer = await staying
    if (answer.kind !== 'found') throw new Error(answer.kind)
    const later = new AbortController()
    const waiting = answer.body.read(Buffer.alloc(10), 20_000, later.signal)
    later.abort(reason)
    t.equal(await waiting.catch((error: unknown) => error), reason)
    for (const index of allSteps) step(index)
    t.same(await readBody(answer.body), content)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.equal(made.store.openFiles, 0)
  })

  t.test('all may leave: the NAR is stored all the same', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    step(0)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    await answer.body[Symbol.asyncDispose]()
    for (const index of allSteps) step(index)
    await made.transfers.idle()
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
    t.same(await fetchNar(made, key), content)
    t.equal(ingest.jobs.length, 1)
  })

  t.test('of one that breaks off are told so, and their resumes are refused', async (t) => {
    const { ingest, step } = stepwise(async (run) => {
      run.events.sourceFailed(wrongNar)
      return { kind: 'failed' }
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    for (const index of [0, 1]) step(index)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    t.equal(await answer.body.read(Buffer.alloc(10), 0, never), 10)
    const size = answer.body.wholeSize(never).catch((error: unknown) => error)
    for (const index of allSteps) step(index)
    await t.rejects(readBody(answer.body, 100, 10), TransferBrokenError)
    t.type(await size, TransferBrokenError)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await resumeNar(made, key), { kind: 'broken' })
    const fresh = await getNar(made, key)
    t.equal(fresh.kind, 'found', 'a fresh GET is tried')
    if (fresh.kind === 'found') await fresh.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await cacheFiles(made), [])
    t.equal(made.store.openFiles, 0)
  })

  t.test('the resume of a body that was wrong is refused while a better one comes', async (t) => {
    const clock = createFixedClock()
    const again = gate()
    let tries = 0
    const ingest = createFakeNarIngest(async (run) => {
      tries += 1
      run.events.released(await run.append(content), fakeEtag)
      if (tries === 1) {
        run.events.sourceFailed(wrongNar)
        return { kind: 'failed' }
      }
      await again.promise
      return run.verified()
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest, clock })
    const broken = await getNar(made, key)
    if (broken.kind === 'found') await broken.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    clock.advance(60_000)
    const fresh = await getNar(made, key)
    if (fresh.kind !== 'found') throw new Error(fresh.kind)
    const resume = await resumeNar(made, key)
    if (resume.kind === 'found') await resume.body[Symbol.asyncDispose]()
    t.equal(resume.kind, 'broken')
    again.resolve(undefined)
    t.same(await readBody(fresh.body), content, 'the fresh one is not disturbed')
    await fresh.body[Symbol.asyncDispose]()
  })

  t.test('of one that was only cut may go on', async (t) => {
    let tries = 0
    const ingest = createFakeNarIngest(async (run) => {
      tries += 1
      if (tries > 1) {
        await run.append(content)
        return run.verified()
      }
      run.events.released(await run.append(content.subarray(0, 10_000)), fakeEtag)
      run.events.sourceFailed({ ...wrongNar, kind: 'unreachable', code: 'reset' })
      return { kind: 'failed' }
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const cut = await getNar(made, key)
    if (cut.kind === 'found') await cut.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    const resume = await resumeNar(made, key)
    if (resume.kind !== 'found') throw new Error(resume.kind)
    t.same(await readBody(resume.body, 777, 10_000), content.subarray(10_000))
    await resume.body[Symbol.asyncDispose]()
  })

  t.test('of a transfer that Weir itself fails are told so; it is counted', async (t) => {
    let storeFailures = 0
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    const { ingest, step } = stepwise(async () => {
      throw full
    })
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      ingest,
      meter: { storeFailed: () => (storeFailures += 1) },
    })
    step(0)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    for (const index of allSteps) step(index)
    await t.rejects(readBody(answer.body), TransferBrokenError)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.equal(storeFailures, 1)
    t.match(made.log.named('transfer.failed'), [{ err: full }])
    t.same(await cacheFiles(made), [])
  })

  t.test('are told when Weir stops, which is nobody’s failure', async (t) => {
    let storeFailures = 0
    const begun = gate()
    const ingest = createFakeNarIngest(async ({ signal }) => {
      begun.resolve(undefined)
      await once(signal, 'abort')
      throw signal.reason
    })
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      ingest,
      meter: { storeFailed: () => (storeFailures += 1) },
    })
    const answer = getNar(made, key)
    await begun.promise
    made.stopping.abort()
    t.match(await answer, { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(storeFailures, 0)
  })

  t.test('no more NARs are fetched at one time than is allowed', async (t) => {
    const claims = [1, 2, 3, 4, 5].map(numbered)
    const [open, full] = [gate(), gate()]
    let most = 0
    let now = 0
    const ingest = createFakeNarIngest(async (run) => {
      most = Math.max(most, (now += 1))
      if (now === 2) full.resolve(undefined)
      await open.promise
      await run.append(content)
      now -= 1
      return run.verified()
    })
    const upstreams = [upstreamWith('a', ...claims)]
    const made = await world(t, { upstreams, ingest, maxTransfers: 2 })
    const all = Promise.all(claims.map((claim) => fetchNar(made, claim.key)))
    await full.promise
    t.notOk(await isSettled(all))
    open.resolve(undefined)
    await all
    t.equal(most, 2)
    t.equal(ingest.jobs.length, 5)
  })
})

t.test('what is stored', async (t) => {
  /** A world in which the NAR is stored, and its folder and catalog. */
  const storedWorld = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const catalog = openSqliteCatalog(':memory:')
    const a = upstreamWith('a', hello)
    const made = await world(t, { upstreams: [a], catalog, ...options })
    const bytes = await fetchNar(made, key)
    await made.transfers.idle()
    a.asked.length = 0
    return { made, a, catalog, bytes, file: join(made.dir, 'cache', 'nar', narFileName(key)) }
  }

  t.test('is not served when its key is trusted no more', async (t) => {
    const { made, catalog, a } = await storedWorld(t)
    for (const keysNow of [[], [publicKeyOf(keys.b)]]) {
      const policy = { a: { keys: keysNow } }
      const later = await world(t, { upstreams: [a], catalog, dir: made.dir, policy })
      t.match(await later.substituter.narinfo(hash), { kind: 'absent' })
      t.match(await getNar(later, key), { kind: 'absent' })
      t.match(await later.substituter.peek(key), { kind: 'absent' })
      t.same(await later.finder.stored(hash), [])
    }
    const without = await world(t, { upstreams: [], catalog, dir: made.dir })
    t.match(await without.substituter.narinfo(hash), { kind: 'absent' }, 'its upstream is gone')
    t.match(await getNar(without, key), { kind: 'absent' })
  })

  t.test('of an upstream that is trusted no more is served for another one’s claim', async (t) => {
    const { made, catalog, bytes } = await storedWorld(t)
    const b = upstreamWith('b', claimFor(patternNar, { signers: [keys.b] }))
    const later = await world(t, { upstreams: [b], catalog, dir: made.dir })
    t.match(await later.substituter.narinfo(hash), { upstream: 'b' })
    t.same(await fetchNar(later, key), bytes)
    t.notOk(
      b.asked.some((asked) => asked.startsWith('nar ')),
      'the file is taken over',
    )
    t.match(await later.catalog.find(hash), [{ upstream: 'b' }])
    t.match(later.keeper.totals(), { count: 1, bytes: bytes.length })
  })

  t.test('and has vanished, or was cut, is fetched again', async (t) => {
    for (const harm of [rm, (file: string) => truncate(file, 10)]) {
      const { made, a, bytes, file } = await storedWorld(t, { dir: workFolder(t) })
      await made.substituter.narinfo(hash)
      const before = must((await made.catalog.find(hash))[0])
      made.clock.advance(1000)
      await harm(file)
      t.same(await fetchNar(made, key), bytes)
      await made.transfers.idle()
      t.same(a.asked, ['nar nar/hello.nar'])
      const [after, ...more] = await made.catalog.find(hash)
      t.same(more, [])
      t.equal(after?.storedAtMs, before.storedAtMs + 1000, 'the record is a new one')
      t.equal((await stat(file)).size, bytes.length)
      t.same(made.keeper.totals(), { count: 1, bytes: bytes.length })
      t.match(await made.substituter.narinfo(hash), { isStored: true })
    }
  })

  t.test('and has vanished, while nobody has it, is not said to be there', async (t) => {
    const { made, a, file } = await storedWorld(t)
    a.answers.narinfo = () => null
    const later = await world(t, { upstreams: [a], catalog: made.catalog, dir: made.dir })
    t.match(await later.substituter.narinfo(hash), { kind: 'found' })
    await rm(file)
    t.match(await getNar(later, key), { kind: 'absent' })
    t.match(await later.substituter.narinfo(hash), { kind: 'absent' })
    t.same(later.keeper.totals(), { count: 0, bytes: 0 })
  })

  t.test('without a record is taken up after a trusted claim, and never without one', async (t) => {
    const { made, a, bytes } = await storedWorld(t)
    const untrusted: Record<string, FakeUpstream['answers']['narinfo']> = {
      absent: () => null,
      unknown: down,
      refused: () => claimFor(patternNar, { signers: [keys.stranger] }).text,
      'of another NAR': () => claimFor(smallNar).text,
    }
    for (const [name, narinfo] of Object.entries(untrusted)) {
      a.answers.narinfo = must(narinfo)
      const lost = await world(t, { upstreams: [a], dir: made.dir })
      t.not((await getNar(lost, key)).kind, 'found', name)
      t.same(lost.keeper.totals(), { count: 0, bytes: 0 }, name)
    }
    a.answers.narinfo = () => hello.text
    const lost = await world(t, { upstreams: [a], dir: made.dir })
    t.match(await lost.substituter.narinfo(hash), { isStored: false })
    t.same(await fetchNar(lost, key), bytes)
    t.notOk(
      a.asked.some((asked) => asked.startsWith('nar ')),
      'nothing is fetched',
    )
    t.match(await lost.substituter.narinfo(hash), { isStored: true })
    t.same(lost.keeper.totals(), { count: 1, bytes: bytes.length })
    const [before] = await made.catalog.find(hash)
    const [after] = await lost.catalog.find(hash)
    t.same([after?.fileHash, after?.fileBytes], [before?.fileHash, before?.fileBytes])
    t.equal(lost.store.openFiles, 0)
  })

  t.test('without a record is taken up once, however many ask', async (t) => {
    const { made, a, bytes } = await storedWorld(t)
    const lost = await world(t, { upstreams: [a], dir: made.dir })
    const all = await Promise.all(Array.from({ length: 5 }, () => fetchNar(lost, key)))
    t.ok(all.every((one) => Buffer.compare(one, bytes) === 0))
    t.same(lost.keeper.totals(), await lost.catalog.totals())
    t.same(lost.keeper.totals(), { count: 1, bytes: bytes.length })
  })
})

t.test('a NAR that cannot be kept', async (t) => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const failing = async (t: Tap, options: Partial<WorldOptions>) => {
    let storeFailures = 0
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      meter: { storeFailed: () => (storeFailures += 1) },
      ...options,
    })
    const bytes = await fetchNar(made, key)
    await made.transfers.idle()
    return { made, bytes, storeFailures }
  }

  t.test('for want of space is served all the same, and leaves nothing', async (t) => {
    const { made, bytes, storeFailures } = await failing(t, {
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, commit: () => Promise.reject(full) }
        },
      }),
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.match(made.log.named('transfer.failed'), [{ err: { code: 'ENOSPC' } }])
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.same([made.store.openFiles, made.store.stagedFiles], [0, 0])
    t.match(await made.substituter.narinfo(hash), { isStored: false })
  })

  t.test('because its narinfo cannot be written leaves no file either', async (t) => {
    const dir = workFolder(t)
    // Something is where the narinfo belongs: renaming fails after the NAR has its name.
    await mkdir(join(dir, 'cache', `${hash}.narinfo`, 'in the way'), { recursive: true })
    const { made, bytes, storeFailures } = await failing(t, { dir })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.same(await made.catalog.find(hash), [])
    t.same(await cacheFiles(made), [])
  })

  t.test('because the catalog fails is served all the same', async (t) => {
    const catalog = openSqliteCatalog(':memory:')
    const { made, bytes, storeFailures } = await failing(t, {
      catalog: { ...catalog, put: () => Promise.reject(full) },
    })
    t.ok(Buffer.compare(zstdDecompressSync(bytes), patternNar) === 0)
    t.equal(storeFailures, 1)
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
  })

  t.test('because its file cannot be opened leaves no file', async (t) => {
    const a = upstreamWith('a', hello)
    const made = await world(t, {
      upstreams: [a],
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          return { ...staged, open: () => Promise.reject(full) }
        },
      }),
    })
    t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(made.transfers.running(key), null)
    t.equal(made.store.stagedFiles, 0)
    t.same(await cacheFiles(made), [])
  })
})

t.test('eviction', async (t) => {
  const claims = Array.from({ length: 8 }, (_, index) => numbered(index))
  const keyOf = (number: number): NarKey => must(claims[number]).key
  const ingest = createFakeNarIngest(async (run) => {
    await run.append(randomBytes(1000, 1))
    return run.verified()
  })
  const filled = async (t: Tap, count: number) => {
    const evicted: number[] = []
    const made = await world(t, {
      upstreams: [upstreamWith('a', ...claims)],
      ingest,
      maxBytes: 5000,
      meter: { narEvicted: (bytes) => evicted.push(bytes) },
    })
    const store = async (number: number): Promise<void> => {
      made.clock.advance(1000)
      await fetchNar(made, keyOf(number))
      await made.transfers.idle()
      await made.keeper.flush()
    }
    for (let number = 0; number < count; number += 1) await store(number)
    const left = async (): Promise<readonly number[]> => {
      const numbers: number[] = []
      for (const [number, { key }] of claims.entries()) {
        const isRecorded = (await made.catalog.find(key.storePathHash)).length > 0
        const files = await cacheFiles(made)
        equal(files.includes(narFileName(key)), isRecorded, 'its file')
        equal(files.includes(`${key.storePathHash}.narinfo`), isRecorded, 'its narinfo')
        if (isRecorded) numbers.push(number)
      }
      const totals = { count: numbers.length, bytes: numbers.length * 1000 }
      t.same(made.keeper.totals(), totals)
      t.same(await made.catalog.totals(), totals)
      return numbers
    }
    return { made, store, left, evicted }
  }
  type Tap = { same(found: unknown, wanted: unknown): unknown } & Parameters<typeof world>[0]

  t.test('removes nothing up to the limit, and the longest unused above it', async (t) => {
    const { store, left, evicted } = await filled(t, 5)
    t.same(await left(), [0, 1, 2, 3, 4])
    await store(5)
    // Down to 95 % of the limit.
    t.same(await left(), [2, 3, 4, 5])
    t.same(evicted, [1000, 1000])
    await store(6)
    t.same(await left(), [2, 3, 4, 5, 6])
  })

  t.test('goes by uses: of the NAR and of its narinfo', async (t) => {
    const { made, store, left } = await filled(t, 5)
    made.clock.advance(1000)
    await made.substituter.narinfo(keyOf(0).storePathHash)
    await fetchNar(made, keyOf(2))
    await store(5)
    t.same(await left(), [0, 2, 4, 5])
  })

  t.test('forgets the answers about what it removed', async (t) => {
    const { made, store } = await filled(t, 5)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: true })
    await made.keeper.flush()
    for (const number of [2, 3, 4, 0]) {
      made.clock.advance(1000)
      made.keeper.used(keyOf(number))
      await made.keeper.flush()
    }
    await store(5)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: false })
    await store(1)
    t.match(await made.substituter.narinfo(keyOf(1).storePathHash), { isStored: true })
  })

  t.test('disturbs nobody who reads', async (t) => {
    const { made, store, left } = await filled(t, 1)
    const answer = await getNar(made, keyOf(0))
    if (answer.kind !== 'found') throw new Error(answer.kind)
    for (const number of [1, 2, 3, 4, 5]) await store(number)
    t.notOk((await left()).includes(0))
    t.same(await readBody(answer.body), randomBytes(1000, 1))
    await answer.body[Symbol.asyncDispose]()
    t.equal(made.store.openFiles, 0)
  })

  t.test('happens at the start where the limit was lowered', async (t) => {
    const { made } = await filled(t, 5)
    const lowered = await world(t, {
      upstreams: [],
      catalog: made.catalog,
      dir: made.dir,
      maxBytes: 2000,
    })
    await lowered.keeper.flush()
    t.same(lowered.keeper.totals(), { count: 1, bytes: 1000 })
    t.match(await lowered.catalog.find(keyOf(4).storePathHash), [{ key: keyOf(4) }])
  })

  t.test('a use of what is not stored is passed over', async (t) => {
    const { made, left } = await filled(t, 1)
    made.keeper.used(keyOf(7))
    await made.keeper.flush()
    t.same(await left(), [0])
  })

  t.test('dropping twice counts once', async (t) => {
    const { made, left } = await filled(t, 2)
    const stored = must((await made.catalog.find(keyOf(0).storePathHash))[0])
    await Promise.all([made.keeper.drop(stored), made.keeper.drop(stored)])
    t.same(await left(), [1])
  })
})

t.test('suspects', async (t) => {
  const failure = (upstream: string, kind: SourceFailure['kind'], code = 'too-short') => ({
    upstream,
    kind,
    code,
    message: '',
  })
  const source = (upstream: string): NarSource => ({
    upstream,
    url: 'nar/x',
    compression: 'none',
    fileHash: null,
  })
  const sources = [source('a'), source('b')]
  const names = (ordered: readonly NarSource[]) => ordered.map(({ upstream }) => upstream)

  t.test('are left out for a while, and then come last', async (t) => {
    const clock = createFixedClock()
    const suspects = createSuspects(clock)
    t.same(names(suspects.order(key, sources)), ['a', 'b'])
    suspects.note(key, failure('a', 'corrupt'), [])
    t.same(names(suspects.order(key, sources)), ['b'])
    clock.advance(20_001)
    t.same(names(suspects.order(key, sources)), ['b', 'a'])
    t.same(names(suspects.order(numbered(1).key, sources)), ['a', 'b'], 'for that NAR alone')
  })

  t.test('who does not have it or is down is none', async (t) => {
    const suspects = createSuspects(createFixedClock())
    suspects.note(key, failure('a', 'absent'), [])
    suspects.note(key, failure('b', 'unreachable'), [])
    t.same(names(suspects.order(key, sources)), ['a', 'b'])
  })

  t.test('who began otherwise than the next went on is one', async (t) => {
    const suspects = createSuspects(createFixedClock())
    const earlier = [failure('a', 'unreachable', 'reset')]
    suspects.note(key, failure('b', 'corrupt', 'prefix-mismatch'), earlier)
    t.same(names(suspects.order(key, sources)), ['b'])
  })

  t.test('a broken body is remembered for its NAR', async (t) => {
    const suspects = createSuspects(createFixedClock())
    t.notOk(suspects.wasBroken(key))
    suspects.noteBroken(key)
    t.ok(suspects.wasBroken(key))
    t.notOk(suspects.wasBroken(numbered(1).key))
  })
})

t.test('a transfer', async (t) => {
  const inMemory = (bytes: Uint8Array): NarFile & { isClosed: boolean } => ({
    isClosed: false,
    size: async () => bytes.length,
    read: async (buffer, position) => {
      const part = bytes.subarray(position, position + buffer.length)
      buffer.set(part)
      return part.length
    },
    async close() {
      this.isClosed = true
    },
  })
  const content = randomBytes(1000, 1)
  const outcome = {
    kind: 'verified',
    upstream: 'a',
    fileBytes: 1000,
    fileHash: 'sha256:0',
    etag: '"other"',
  } as const

  t.test('gives out what is released and nothing more', async (t) => {
    const transfer = new Transfer()
    transfer.attach(inMemory(content))
    transfer.release(100, fakeEtag)
    transfer.release(50, '"less"')
    t.same([transfer.released, transfer.etag, transfer.size], [100, fakeEtag, null])
    t.equal(await transfer.read(Buffer.alloc(500), 90, never), 10)
    transfer.complete(outcome)
    t.same([transfer.size, transfer.etag], [1000, fakeEtag], 'its ETag stays what went out')
    t.equal(await transfer.read(Buffer.alloc(500), 900, never), 100)
    t.equal(await transfer.read(Buffer.alloc(500), 1000, never), 0)
    t.equal(await transfer.read(Buffer.alloc(500), 5000, never), 0, 'beyond its end')
    transfer.fail({ kind: 'unknown', failures: [] })
    t.equal(transfer.failure, null, 'what is complete stays so')
  })

  t.test('keeps its file open for as long as anybody holds it', async (t) => {
    const file = inMemory(content)
    const transfer = new Transfer()
    transfer.attach(file)
    const body = transferBody(transfer)
    const other = transfer.hold()
    await transfer.leave()
    await body[Symbol.asyncDispose]()
    await body[Symbol.asyncDispose]()
    t.notOk(file.isClosed)
    await other()
    t.ok(file.isClosed)
  })

  t.test('rejects a reader whose client has gone, waiting or not', async (t) => {
    const transfer = new Transfer()
    transfer.attach(inMemory(content))
    const gone = AbortSignal.abort(new Error('gone'))
    await t.rejects(transfer.moreThan(0, gone), { message: 'gone' })
    transfer.release(10, fakeEtag)
    t.equal(await transfer.read(Buffer.alloc(10), 0, gone), 10, 'what is there is given')
  })
})

t.test('build logs', async (t) => {
  const drv = `${hash}-hello.drv`
  const text = async (answer: Awaited<ReturnType<ReturnType<typeof createBuildLogs>['find']>>) => {
    if (answer.kind !== 'found') throw new Error(answer.kind)
    const parts: Uint8Array[] = []
    for await (const part of answer.body) parts.push(part)
    return Buffer.concat(parts).toString()
  }
  const logs = (...upstreams: readonly FakeUpstream[]) =>
    createBuildLogs({ upstreams, log: createSilentLog() }).find(drv, never)
  const has = (name: string) =>
    createFakeUpstream(name, { buildLog: () => bodyOf(Buffer.from(`built by ${name}\n`)) })
  const isDown = () => createFakeUpstream('down', { buildLog: down })

  t.test('come from the first upstream that has one', async (t) => {
    const last = has('c')
    t.equal(await text(await logs(createFakeUpstream('a'), has('b'), last)), 'built by b\n')
    t.same(last.asked, [], 'and the rest is not asked')
    t.equal(await text(await logs(isDown(), has('b'))), 'built by b\n')
  })

  t.test('are absent where all say so, and unknown where one could not tell', async (t) => {
    t.same(await logs(createFakeUpstream('a'), createFakeUpstream('b')), { kind: 'absent' })
    t.same(await logs(), { kind: 'absent' })
    t.match(await logs(isDown(), createFakeUpstream('b')), { kind: 'unknown', why: /refused/ })
  })

  t.test('are bounded', async (t) => {
    const mebi = Buffer.alloc(2 ** 20)
    const endless = createFakeUpstream('a', {
      buildLog: async function* () {
        for (;;) yield mebi
      } as unknown as () => AsyncGenerator<Uint8Array>,
    })
    const answer = await logs(endless)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    let bytes = 0
    const read = async (): Promise<void> => {
      for await (const part of answer.body) bytes += part.length
    }
    await t.rejects(read(), { code: 'too-large' })
    t.ok(bytes <= 64 * 2 ** 20)
  })

  t.test('a bug is not taken for an outage', async (t) => {
    const buggy = createFakeUpstream('a', {
      buildLog: () => {
        throw new TypeError('a bug')
      },
    })
    await t.rejects(logs(buggy, has('b')), { message: 'a bug' })
  })
})
