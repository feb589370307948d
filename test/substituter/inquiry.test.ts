import t from 'tap'
import { publicKeyOf, type SecretKey } from '../../src/nix/signature.ts'
import { type Claim, readClaim } from '../../src/policy/claim.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { Reply } from '../../src/policy/views.ts'
import type { Meter } from '../../src/ports/meter.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { createAbsences } from '../../src/substituter/finding/absences.ts'
import { askUpstreams } from '../../src/substituter/finding/ask-upstreams.ts'
import { Inquiry } from '../../src/substituter/finding/inquiry.ts'
import { patternNar, smallNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { noTracer } from '../../src/ports/tracer.ts'
import { createMemoryEvidence } from '../fakes/memory-evidence.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { noHedging } from '../fakes/no-hedging.ts'
import { createUpHealth } from '../fakes/up-health.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { must, path } from '../nix/fixtures.ts'
import {
  claimFor,
  contentAddressed,
  keys,
  numbered,
  type TestClaim,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { testPolicy } from '../fakes/test-policy.ts'
import { fetchNarinfo, gate, isSettled, never, storeNar } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash
const ofB = claimFor(patternNar, { signers: [keys.b], url: 'nar/b.nar' })
/** About the hash, of whose name nothing is expected. */
const question = {
  ...{ hash, client: 'client', expected: () => null },
  settledAgain: () => undefined,
}

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
      isSlow: () => Promise.resolve(false),
      judged: () => undefined,
      settledAgain: () => undefined,
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
    tracer: noTracer,
    upstreams: () => upstreams,
    health: createUpHealth(),
    isRefuted: () => false,
    absences: createAbsences({ clock: createFixedClock(), ttlMs: () => 0 }),
    reach: { isOffline: () => false, isDown: () => false, isRemote: () => true },
    stopping: never,
    hedging: noHedging,
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
    askUpstreams(deps(all), question)
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
      const inquiry = askUpstreams(asked, question)
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
      const inquiry = askUpstreams(asked, question)
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
    await askUpstreams(asked, question).settled
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
    const inquiry = askUpstreams(asked, question)
    stopping.abort()
    await inquiry.settled
    t.match(inquiry.slots, [{ answer: { kind: 'unknown', code: 'stopping' } }])
    t.same(asked.log.events, [], 'and nobody is blamed')
  })
})

t.test('what comes to light once all have answered', async (t) => {
  const other = claimFor(smallNar, { signers: [keys.b], url: 'nar/b.nar' })
  const renamed = claimFor(patternNar, {
    storePath: path(`${hash}-harmless`),
    signers: [keys.b],
    url: 'nar/b.nar',
  })
  /** Asks for the path, of which `b` says something late, and looks before and after that. */
  const asked = async (t: Tap, ofB: TestClaim, policy: Partial<Policy> = {}) => {
    const late = gate()
    const b = upstreamWith('b', ofB)
    b.answers.narinfo = () => late.promise.then(() => ofB.text)
    const divergences: Parameters<Meter['diverged']>[0][] = []
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello), b],
      policy,
      meter: { diverged: (divergence) => divergences.push(divergence) },
    })
    t.match(await made.substituter.narinfo(hash), { kind: 'found', upstream: 'a' })
    t.same([divergences, made.lies, made.evidence.events], [[], [], []], 'not before')
    const inquiry = made.finder.inquire(hash)
    late.resolve(undefined)
    await inquiry.settled
    await isSettled(inquiry.settled)
    return { made, divergences, diverged: () => divergences.length }
  }
  type Tap = Parameters<typeof world>[0] & Pick<typeof t, 'match' | 'same'>

  t.test('is a divergence, where trusted claims differ', async (t) => {
    const { made, divergences } = await asked(t, other)
    t.same(divergences, [{ rule: null, wantsAgreement: false }])
    t.match(made.evidence.events, [{ kind: 'divergence', hash, upstream: null }])
    t.match(made.evidence.events[0]?.detail, /^a says .*-hello is sha256:.*; b says .*-hello is/)
    t.match(made.log.named('claims.diverged'), [{ hash, claims: [/^a says/, /^b says/] }])
    t.same(made.lies, [])
    t.match(await made.substituter.narinfo(hash), { upstream: 'a' }, 'the preferred one is served')
  })

  t.test('is nothing, where they are equal', async (t) => {
    const { made, diverged } = await asked(t, ofB)
    t.same([diverged(), made.lies, made.evidence.events], [0, [], []])
  })

  t.test('is a lie, where a less preferred one signed another name', async (t) => {
    const { made, diverged } = await asked(t, renamed)
    t.strictSame(made.lies, [
      { upstream: 'b', claimed: 'harmless', truth: 'hello', by: 'a', isPunished: true },
    ])
    t.equal(diverged(), 0, 'and no divergence of what is trusted')
    t.match(made.finder.known(hash)?.slots, [
      { answer: { kind: 'trusted' } },
      { answer: { kind: 'refused', verdict: { reason: 'name-conflict' } } },
    ])
  })

  t.test('is a lie too where the policy only reports', async (t) => {
    const { made } = await asked(t, renamed, { enforce: false })
    t.match(made.lies, [{ upstream: 'b' }])
  })

  t.test('is told once, however many asked', async (t) => {
    const { made, diverged } = await asked(t, other)
    await Promise.all(Array.from({ length: 5 }, () => made.substituter.narinfo(hash)))
    await made.finder.inquire(hash).settled
    t.equal(diverged(), 1)
  })

  t.test('takes back a choice that a late answer proves wrong', async (t) => {
    const proven = contentAddressed()
    const lie = claimFor(patternNar, {
      storePath: path(`${proven.key.storePathHash}-harmless`),
    })
    const late = gate()
    const c = upstreamWith('c', proven)
    c.answers.narinfo = () => late.promise.then(() => proven.text)
    const made = await world(t, { upstreams: [upstreamWith('a', lie), c] })
    const proof = proven.key.storePathHash
    t.match(await made.substituter.narinfo(proof), { upstream: 'a' })
    const inquiry = made.finder.inquire(proof)
    late.resolve(undefined)
    await inquiry.settled
    await isSettled(inquiry.settled)
    t.match(await made.substituter.narinfo(proof), { kind: 'found', upstream: 'c' })
    t.match(made.lies, [{ upstream: 'a', claimed: 'harmless', truth: 'hello', by: 'c' }])
  })
})

t.test('a wrong signature under a key that is held is counted and recorded', async (t) => {
  const counted: string[] = []
  const forged = claimFor(patternNar, { signers: [keys.b] })
  const text = Buffer.from(
    Buffer.from(forged.text)
      .toString()
      .replace(/^NarSize: .*$/m, 'NarSize: 9'),
  )
  const b = createFakeUpstream('b', { narinfo: () => text })
  const meter = { badSignature: (upstream: string) => counted.push(upstream) }
  const made = await world(t, { upstreams: [b], meter })
  t.equal((await made.substituter.narinfo(hash)).kind, 'absent')
  t.same(counted, ['b'])
  const detail = new RegExp(`${hash}-hello: the signature under ${keys.b.name} is wrong`)
  t.match(made.evidence.events, [{ kind: 'bad-signature', hash, upstream: 'b', detail }])
})

t.test('a name in the references of a trusted claim', async (t) => {
  const dep = numbered(1)
  const depHash = dep.key.storePathHash
  const renamed = (...signers: readonly SecretKey[]) =>
    numbered(1, { storePath: path(`${depHash}-other`), signers })
  const top = (...signers: readonly SecretKey[]) =>
    claimFor(patternNar, { references: [dep.narinfo.storePath], signers })

  t.test('refuses another name from who is less preferred, or as much', async (t) => {
    for (const upstreams of [
      [upstreamWith('a', top(keys.a)), upstreamWith('b', renamed(keys.b))],
      [upstreamWith('a', top(keys.a), renamed(keys.a)), createFakeUpstream('b')],
    ]) {
      const made = await world(t, { upstreams })
      await fetchNarinfo(made, hello)
      const answer = await made.substituter.narinfo(depHash)
      t.equal(answer.kind, 'absent')
      const answers = 'slots' in answer ? answer.slots.map((slot) => slot.answer) : []
      const reasons = answers.map((each) => (each?.kind === 'refused' ? each.verdict.reason : null))
      t.ok(reasons.includes('unexpected-name'))
      t.same(made.lies, [], 'which is no proof of a lie')
    }
  })

  t.test('says nothing of who is more preferred', async (t) => {
    const upstreams = [upstreamWith('a', renamed(keys.a)), upstreamWith('b', top(keys.b))]
    const made = await world(t, { upstreams })
    await fetchNarinfo(made, hello)
    t.match(await made.substituter.narinfo(depHash), { kind: 'found', upstream: 'a' })
  })

  t.test('lets the same name pass, and says nothing where it is not trusted', async (t) => {
    const same = [
      upstreamWith('a', top(keys.a)),
      upstreamWith('b', numbered(1, { signers: [keys.b] })),
    ]
    const untrusted = [upstreamWith('a', top(keys.stranger)), upstreamWith('b', renamed(keys.b))]
    for (const upstreams of [same, untrusted]) {
      const made = await world(t, { upstreams })
      await made.substituter.narinfo(hash)
      t.match(await made.substituter.narinfo(depHash), { kind: 'found', upstream: 'b' })
    }
  })

  t.test('counts from the store too, after a restart', async (t) => {
    const before = await world(t, { upstreams: [upstreamWith('a', top(keys.a))] })
    await storeNar(before, key)
    const upstreams = [createFakeUpstream('a'), upstreamWith('b', renamed(keys.b))]
    const { catalog, dir } = before
    const made = await world(t, { upstreams, catalog, dir })
    t.match(await made.substituter.narinfo(hash), { isStored: true })
    t.equal((await made.substituter.narinfo(depHash)).kind, 'absent')
  })
})
