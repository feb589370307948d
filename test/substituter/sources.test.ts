import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { narFileName } from '../../src/nix/nar-key.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { NarSource, SourceFailure } from '../../src/ports/nar-ingest.ts'
import { createBuildLogs } from '../../src/substituter/build-logs.ts'
import { createSuspects, strict } from '../../src/substituter/fetching/suspects.ts'
import { bodyOf, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeNarIngest } from '../fakes/fake-nar-ingest.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'
import {
  keys,
  claimFor,
  numbered,
  contentAddressed,
  upstreamWith,
  down,
  field,
  narsAsked,
} from '../fakes/test-claims.ts'
import { testPolicy } from '../fakes/test-policy.ts'
import { world } from '../fakes/substituter-world.ts'
import {
  never,
  getNar,
  resumeNar,
  fetchNar,
  fetchNarinfo,
  cacheFiles,
  gate,
  isSettled,
} from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
/** With a large NAR: for 20 s. */
const large = strict(2 ** 30)
const { key } = hello
const hash = key.storePathHash

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
    const of = { d: { keys: [publicKeyOf(keys.a)] } }
    const made = await world(t, { upstreams, ingest, of })
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

  t.test('come last whose upstream is down', async (t) => {
    const ingest = createFakeNarIngest(async () => ({ kind: 'failed' }))
    const upstreams = [upstreamWith('a', hello), upstreamWith('b', fromB)]
    const health = { isDown: (name: string) => name === 'a' }
    const made = await world(t, { upstreams, ingest, health })
    await made.finder.inquire(hash).settled
    await getNar(made, key)
    const tried = ingest.jobs.map(({ sources }) => sources.map(({ upstream }) => upstream))
    t.strictSame(tried, [['b', 'a']])
  })

  t.test('tell the health of upstreams what became of each', async (t) => {
    const told: unknown[] = []
    const health = {
      failed: (...args: readonly string[]) => told.push(args),
      succeeded: (name: string) => told.push(name),
    }
    const a = upstreamWith('a', hello)
    a.answers.nar = down
    const made = await world(t, { upstreams: [a, upstreamWith('b', fromB)], health })
    await made.finder.inquire(hash).settled
    await fetchNar(made, key)
    t.strictSame(told, [['a', 'connect', narFileName(key)], 'b'])
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

  t.test('that gave a wrong NAR are asked again three times in a row, and last', async (t) => {
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
    for (const asked of [4, 6]) {
      t.match(await getNar(made, key), { failure: { kind: 'corrupt' } })
      t.equal(nars(), asked, 'it may have been cut short on its way')
    }
    t.match(await getNar(made, key), { failure: { kind: 'corrupt' } })
    t.equal(nars(), 7, 'the wrong one is left out')
    clock.advance(60_000)
    b.answers.nar = () => bodyOf(patternNar)
    await fetchNar(made, key)
    t.equal(nars(), 8, 'the other one is asked first')
  })

  t.test(
    'of an upstream of which no NAR could be had lately come last, until one is',
    async (t) => {
      const a = upstreamWith('a', hello)
      const b = upstreamWith('b', fromB)
      a.answers.nar = down
      const clock = createFixedClock()
      const made = await world(t, { upstreams: [a, b], clock, maxBytes: 1 })
      const asked = async (): Promise<string> => {
        a.asked.length = b.asked.length = 0
        await fetchNar(made, key)
        await made.transfers.idle()
        return [a, b]
          .filter((each) => narsAsked(each).length > 0)
          .map(({ name }) => name)
          .join()
      }
      await made.finder.inquire(hash).settled
      t.equal(await asked(), 'a,b')
      a.answers.nar = () => bodyOf(patternNar)
      t.equal(await asked(), 'b')
      clock.advance(5 * 60_000 + 1)
      t.equal(await asked(), 'a')
    },
  )

  t.test('are not asked where all were wrong a moment ago', async (t) => {
    const a = upstreamWith('a', hello)
    a.answers.nar = () => bodyOf(smallNar)
    const made = await world(t, { upstreams: [a] })
    for (const asked of [1, 2, 3, 3, 3]) {
      t.match(await getNar(made, key), { kind: 'failed', failure: { kind: 'corrupt' } })
      t.equal(a.asked.filter((asked) => asked.startsWith('nar ')).length, asked)
    }
  })

  t.test('the claim that is kept is the preferred one, whoever delivered', async (t) => {
    const a = upstreamWith('a', hello)
    a.answers.nar = down
    for (const isLate of [false, true]) {
      const late = gate()
      const b = upstreamWith('b', fromB)
      b.answers.narinfo = () => late.promise.then(() => fromB.text)
      if (!isLate) late.resolve(undefined)
      const made = await world(t, { upstreams: [a, b], dir: workFolder(t) })
      if (!isLate) await made.finder.inquire(hash).settled
      const answer = fetchNar(made, key)
      if (isLate) await isSettled(answer)
      late.resolve(undefined)
      await answer
      await made.transfers.idle()
      t.match(await made.catalog.find(hash), [{ upstream: 'a', witnesses: [{ upstream: 'b' }] }])
      t.same(narsAsked(b), ['nar nar/b.nar'], isLate ? 'late' : 'early')
    }
  })

  t.test('who says another name for the path is none', async (t) => {
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
      const answer = getNar(made, key)
      if (isLate) await isSettled(answer)
      late.resolve(undefined)
      t.match(await answer, { kind: 'failed', failure: { kind: 'unknown' } })
      t.same(narsAsked(b), [])
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
    file: null,
    compression: 'none',
    fileHash: null,
  })
  const sources = [source('a'), source('b')]
  const names = (ordered: readonly NarSource[]) => ordered.map(({ upstream }) => upstream)

  t.test('are left out for a while, and then come last', async (t) => {
    const clock = createFixedClock()
    const suspects = createSuspects(clock)
    t.same(names(suspects.order(key, sources, large)), ['a', 'b'])
    suspects.note(key, failure('a', 'corrupt'), [])
    t.same(names(suspects.order(key, sources, large)), ['b'])
    clock.advance(20_001)
    t.same(names(suspects.order(key, sources, large)), ['b', 'a'])
    t.same(names(suspects.order(numbered(1).key, sources, large)), ['a', 'b'], 'for that NAR alone')
  })

  t.test('with patience, are left out after some failures in a row, and briefly', async (t) => {
    const clock = createFixedClock()
    const suspects = createSuspects(clock)
    const order = () => names(suspects.order(key, sources, { times: 2, pauseMs: 100 }))
    suspects.note(key, failure('a', 'corrupt'), [])
    clock.advance(20_001)
    suspects.note(key, failure('a', 'corrupt'), [])
    t.same(order(), ['b', 'a'], 'the first was long ago')
    suspects.note(key, failure('a', 'corrupt'), [])
    t.same(order(), ['b'])
    clock.advance(101)
    t.same(order(), ['b', 'a'])
    suspects.note(key, failure('a', 'corrupt'), [])
    t.same(order(), ['b'], 'and at once where it is wrong again')
  })

  t.test('who does not have it or is down is none', async (t) => {
    const suspects = createSuspects(createFixedClock())
    suspects.note(key, failure('a', 'absent'), [])
    suspects.note(key, failure('b', 'unreachable'), [])
    t.same(names(suspects.order(key, sources, large)), ['a', 'b'])
  })

  t.test('who began otherwise than the next went on is one', async (t) => {
    const suspects = createSuspects(createFixedClock())
    const earlier = [failure('a', 'unreachable', 'reset'), failure('b', 'unreachable', 'connect')]
    suspects.note(key, failure('b', 'corrupt', 'prefix-mismatch'), earlier)
    t.same(
      names(suspects.order(key, sources, large)),
      ['b'],
      'and who was not reached began nothing',
    )
    const outpaced = createSuspects(createFixedClock())
    outpaced.note(key, failure('b', 'corrupt', 'prefix-mismatch'), [
      failure('a', 'unreachable', 'outpaced'),
    ])
    t.same(
      names(outpaced.order(key, sources, large)),
      ['a', 'b'],
      'nor has who was left before anything was handed out',
    )
  })

  t.test('a broken body is remembered for its NAR', async (t) => {
    const suspects = createSuspects(createFixedClock())
    t.notOk(suspects.wasBroken(key))
    suspects.noteBroken(key)
    t.ok(suspects.wasBroken(key))
    t.notOk(suspects.wasBroken(numbered(1).key))
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
    createBuildLogs({
      upstreams: () => upstreams,
      policy: () => testPolicy(upstreams.map(({ name }) => name)),
      log: createSilentLog(),
      ...{ clock: createFixedClock(), meter: createNullMeter() },
    }).find(drv, never)
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
