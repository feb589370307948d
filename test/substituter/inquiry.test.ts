import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { type Claim, readClaim } from '../../src/policy/claim.ts'
import type { Reply } from '../../src/policy/views.ts'
import type { Meter } from '../../src/ports/meter.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { askUpstreams } from '../../src/substituter/ask-upstreams.ts'
import { Inquiry } from '../../src/substituter/inquiry.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createMemoryEvidence } from '../fakes/memory-evidence.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { must, path } from '../nix/fixtures.ts'
import { keys, type TestClaim, claimFor, upstreamWith } from '../fakes/test-claims.ts'
import { testPolicy } from '../fakes/test-policy.ts'
import { never, isSettled } from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
const unexpected = (): null => null

t.test('an inquiry', async (t) => {
  const says = (upstream: string, { text }: TestClaim): Reply => {
    const reading = readClaim(testPolicy([]), upstream, hash, text)
    if (reading.kind === 'malformed') throw new TypeError(reading.reason)
    return reading
  }
  const trusted = { a: says('a', hello), b: says('b', ofB) }
  const others: Record<string, Reply> = {
    absent: { kind: 'absent' },
    refused: says('a', claimFor(patternNar, { signers: [keys.stranger] })),
    unknown: { kind: 'unknown', code: 'connect', reason: 'refused' },
  }
  const ask = (...optionals: readonly boolean[]) => {
    const replies = ['a', 'b'].map(() => Promise.withResolvers<Reply>())
    const names = ['a', 'b'].slice(0, optionals.length)
    const of = Object.fromEntries(
      names.map((name, at) => [name, { optional: optionals[at] ?? false }]),
    )
    const policy = testPolicy(names, of)
    const inquiry = new Inquiry({
      policy: () => policy,
      ask: (name) => must(replies[names.indexOf(name)]).promise,
      expected: () => null,
      judged: () => undefined,
    })
    return { inquiry, say: (index: number, reply: Reply) => replies[index]?.resolve(reply) }
  }
  const upstreamsOf = (answers: readonly { readonly claim: Claim }[]): readonly string[] =>
    answers.map(({ claim }) => claim.upstream)

  t.test('waits for the preferred upstream, however early another one answers', async (t) => {
    const { inquiry, say } = ask(false, false)
    say(1, trusted.b)
    t.notOk(await isSettled(inquiry.chosen))
    t.match(
      inquiry.slots,
      [{ answer: null }, { answer: { kind: 'trusted' } }],
      'what has come is known',
    )
    t.same(inquiry.trusted(), [], 'and is not the choice yet')
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
      t.same(upstreamsOf(inquiry.trusted()), ['a'])
      t.notOk(await isSettled(inquiry.settled))
      say(1, trusted.b)
      await inquiry.settled
      t.same(upstreamsOf(inquiry.trusted()), ['a', 'b'], 'in order of preference')
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
    t.equal((await ask().inquiry.chosen).kind, 'absent', 'without upstreams')
  })
})

t.test('asking upstreams', async (t) => {
  const constant =
    <T>(value: T) =>
    () =>
      value
  const deps = (
    upstreams: readonly FakeUpstream[],
    changes: { meter?: Meter; stopping?: AbortSignal } = {},
  ) => ({
    log: createSilentLog(),
    clock: createFixedClock(),
    meter: createNullMeter(),
    evidence: createMemoryEvidence(),
    upstreams: () => upstreams,
    narinfoTimeoutMs: () => 60_000,
    stopping: never,
    policy: constant(
      testPolicy(
        upstreams.map(({ name }) => name),
        Object.fromEntries(upstreams.map(({ name }) => [name, { keys: [publicKeyOf(keys.a)] }])),
        { maxNarBytes: 10_000_000 },
      ),
    ),
    ...changes,
  })

  t.test('all are asked at once', async (t) => {
    const all = ['a', 'b', 'c'].map((name) =>
      createFakeUpstream(name, { narinfo: () => new Promise(() => undefined) }),
    )
    askUpstreams(deps(all), hash, unexpected)
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
      const inquiry = askUpstreams(asked, hash, unexpected)
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
      const inquiry = askUpstreams(asked, hash, unexpected)
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
    await askUpstreams(asked, hash, unexpected).settled
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
    const inquiry = askUpstreams(asked, hash, unexpected)
    stopping.abort()
    await inquiry.settled
    t.match(inquiry.slots, [{ answer: { kind: 'unknown', code: 'stopping' } }])
    t.same(asked.log.events, [], 'and nobody is blamed')
  })
})
