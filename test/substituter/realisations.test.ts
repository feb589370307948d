import { Buffer } from 'node:buffer'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { parseDrvOutput } from '../../src/nix/drv-output.ts'
import {
  formatRealisation,
  type Realisation,
  realisationFingerprint,
} from '../../src/nix/realisation.ts'
import { generateSecretKey, publicKeyOf, type SecretKey, sign } from '../../src/nix/signature.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import type { Rule } from '../../src/policy/rule.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { askingOrder } from '../../src/substituter/finding/asking-order.ts'
import { createRealisations } from '../../src/substituter/realisations.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { keys } from '../fakes/test-claims.ts'
import { testPolicy, testRule } from '../fakes/test-policy.ts'
import { must, path } from '../nix/fixtures.ts'

const asked = must(parseDrvOutput(`sha256:${'a'.repeat(64)}!out`))
const patient = new AbortController().signal

/** A realisation as an upstream has it. */
function doi(
  name: string,
  signers: readonly SecretKey[],
  changes: Partial<Realisation> = {},
): Uint8Array {
  const outPath = path(`05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-${name}`)
  const unsigned = { output: asked, outPath, dependents: [], ...changes }
  const message = realisationFingerprint(unsigned)
  const signatures = signers.map((key) => sign(key, message))
  return Buffer.from(formatRealisation({ ...unsigned, signatures }))
}

type Says = Uint8Array | null | 'down'

function upstream(name: string, says: Says): FakeUpstream {
  return createFakeUpstream(name, {
    realisation: () => {
      if (says === 'down') throw new UpstreamError('connect', 'nobody listens')
      return says
    },
  })
}

type World = {
  readonly upstreams: readonly FakeUpstream[]
  readonly of?: Readonly<Record<string, Partial<PolicyUpstream>>>
  readonly policy?: Partial<Policy>
}

function createWorld({ upstreams, of = {}, policy: changes = {} }: World) {
  const log = createSilentLog()
  const names = upstreams.map(({ name }) => name)
  const policy = testPolicy(names, of, changes)
  const world = {
    log,
    isEnabled: true,
    policy,
    asked: () => upstreams.filter(({ asked }) => asked.length > 0).map(({ name }) => name),
    find: () => realisations.find(asked, patient),
  }
  const realisations = createRealisations({
    upstreams: () => upstreams,
    policy: () => world.policy,
    isEnabled: () => world.isEnabled,
    log,
    timeoutMs: 60_000,
  })
  return world
}

const byA = doi('hello-1.0', [keys.a])
const byB = doi('hello-1.0', [keys.b])
const unsigned = doi('hello-1.0', [])

t.test('a realisation that is trusted is made anew, with what vouches alone', async (t) => {
  const text = Buffer.from(doi('hello-1.0', [keys.b, keys.a])).toString()
  const more = Buffer.from(text.replace('{', '{ "evil": 1,'))
  const world = createWorld({ upstreams: [upstream('a', more), upstream('b', null)] })
  const found = { kind: 'found', body: Buffer.from(byA).toString(), upstream: 'a' }
  t.strictSame(await world.find(), found)
  t.strictSame(world.asked(), ['a'])
})

type Case = World & {
  readonly is: string
  readonly asks: readonly string[]
}

const cases: Readonly<Record<string, Case>> = {
  'nobody has it': {
    upstreams: [upstream('a', null), upstream('b', null)],
    is: 'absent',
    asks: ['a', 'b'],
  },
  'the second has it': {
    upstreams: [upstream('a', null), upstream('b', byB)],
    is: 'found',
    asks: ['a', 'b'],
  },
  'both have it: the preferred one is enough': {
    upstreams: [upstream('a', byA), upstream('b', byB)],
    is: 'found',
    asks: ['a'],
  },
  'an unsigned one': { upstreams: [upstream('a', unsigned)], is: 'refused', asks: ['a'] },
  "one by another upstream's key": {
    upstreams: [upstream('a', byB), upstream('b', null)],
    is: 'refused',
    asks: ['a', 'b'],
  },
  'one that is refused, and one that is trusted': {
    upstreams: [upstream('a', unsigned), upstream('b', byB)],
    is: 'found',
    asks: ['a', 'b'],
  },
  'one is down, the other has it': {
    upstreams: [upstream('a', 'down'), upstream('b', byB)],
    is: 'found',
    asks: ['a', 'b'],
  },
  'one is down, the other has nothing': {
    upstreams: [upstream('a', 'down'), upstream('b', null)],
    is: 'unknown',
    asks: ['a', 'b'],
  },
  'one is down, the other is refused': {
    upstreams: [upstream('a', 'down'), upstream('b', unsigned)],
    is: 'unknown',
    asks: ['a', 'b'],
  },
  'one that is optional is down': {
    upstreams: [upstream('a', 'down'), upstream('b', null)],
    of: { a: { optional: true } },
    is: 'absent',
    asks: ['a', 'b'],
  },
  'a web page': {
    upstreams: [upstream('a', Buffer.from('<!doctype html>'))],
    is: 'unknown',
    asks: ['a'],
  },
  'a web page from one that is optional': {
    upstreams: [upstream('a', Buffer.from('<!doctype html>'))],
    of: { a: { optional: true } },
    is: 'absent',
    asks: ['a'],
  },
  'one about another output': {
    upstreams: [
      upstream(
        'a',
        doi('hello-1.0', [keys.a], {
          output: must(parseDrvOutput(`sha256:${'b'.repeat(64)}!out`)),
        }),
      ),
    ],
    is: 'unknown',
    asks: ['a'],
  },
  'a suspended upstream is not asked': {
    upstreams: [upstream('a', byA), upstream('b', byB)],
    policy: { suspended: new Set(['a']) },
    is: 'found',
    asks: ['b'],
  },
  'a lower tier first': {
    upstreams: [upstream('a', byA), upstream('b', byB)],
    of: { a: { tier: 1 } },
    is: 'found',
    asks: ['b'],
  },
  'a higher tier where the lower has none that is trusted': {
    upstreams: [upstream('a', byA), upstream('b', unsigned)],
    of: { a: { tier: 1 } },
    is: 'found',
    asks: ['a', 'b'],
  },
  'a private one first, and alone where it has it': {
    upstreams: [upstream('a', byA), upstream('b', byB)],
    of: { b: { private: true } },
    is: 'found',
    asks: ['b'],
  },
  'a private one that has one that is refused: the others do not hear of it': {
    upstreams: [upstream('a', byA), upstream('b', unsigned)],
    of: { b: { private: true } },
    is: 'refused',
    asks: ['b'],
  },
  'a private one that is down: the others do not hear of it': {
    upstreams: [upstream('a', byA), upstream('b', 'down')],
    of: { b: { private: true } },
    is: 'unknown',
    asks: ['b'],
  },
  'a private one that is down and optional': {
    upstreams: [upstream('a', byA), upstream('b', 'down')],
    of: { b: { private: true, optional: true } },
    is: 'found',
    asks: ['a', 'b'],
  },
  'a private one that has nothing': {
    upstreams: [upstream('a', byA), upstream('b', null)],
    of: { b: { private: true } },
    is: 'found',
    asks: ['a', 'b'],
  },
  'a private one of a higher tier where a lower has it': {
    upstreams: [upstream('a', byA), upstream('b', byB)],
    of: { b: { private: true, tier: 1 } },
    is: 'found',
    asks: ['a'],
  },
}

for (const [what, { is, asks, ...setting }] of Object.entries(cases)) {
  t.test(`${what}: ${is}`, async (t) => {
    const world = createWorld(setting)
    t.equal((await world.find()).kind, is)
    t.strictSame(world.asked(), asks)
  })
}

t.test('a refusal says whose, why and of which path, here and in the log', async (t) => {
  const forged = doi('hello-1.0', [generateSecretKey('a.test-1')])
  const world = createWorld({ upstreams: [upstream('a', forged)] })
  const refusal = {
    upstream: 'a',
    reason: 'no-trusted-signature',
    path: '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m-hello-1.0',
  }
  t.strictSame(await world.find(), { kind: 'refused', refusals: [refusal] })
  t.match(world.log.named('realisation.refused')[0], { ...refusal, output: asked.id })
  t.match(world.log.named('signature.bad')[0], { upstream: 'a', keyName: 'a.test-1' })
})

t.test('a mapping that does not say whose output it is needs a key for any name', async (t) => {
  const bars: Readonly<Record<string, Partial<Rule>>> = {
    'a rule that is from elsewhere': { from: ['b'] },
    'a rule that another key signs': { signedBy: [publicKeyOf(keys.b)] },
    'a rule that wants two': { agree: 2 },
  }
  for (const [title, bar] of Object.entries(bars)) {
    const rules = [testRule({ paths: ['other'], ...bar })]
    const world = createWorld({ upstreams: [upstream('a', byA)], policy: { rules } })
    t.match(await world.find(), { refusals: [{ reason: 'name-not-known' }] }, title)
    t.match(world.log.named('realisation.refused'), [{ reason: 'name-not-known' }])
  }
  const allowing = [testRule({ paths: ['other'], from: ['a'], signedBy: [publicKeyOf(keys.a)] })]
  const world = createWorld({ upstreams: [upstream('a', byA)], policy: { rules: allowing } })
  t.equal((await world.find()).kind, 'found', 'a rule that keeps neither of them out')
})

t.test('where they are not enabled nobody is asked', async (t) => {
  const world = createWorld({ upstreams: [upstream('a', byA)] })
  world.isEnabled = false
  t.strictSame(await world.find(), { kind: 'disabled' })
  t.strictSame(world.asked(), [])
})

t.test('where they are disabled meanwhile nothing is handed on', async (t) => {
  for (const says of [byA, null]) {
    const a = createFakeUpstream('a', {
      realisation: () => {
        world.isEnabled = false
        return says
      },
    })
    const world = createWorld({ upstreams: [a, upstream('b', byB)] })
    t.strictSame(await world.find(), { kind: 'disabled' })
    t.strictSame(world.asked(), ['a'])
  }
})

t.test('the policy of the moment after the answer judges it', async (t) => {
  const changes: readonly Partial<Policy>[] = [
    { suspended: new Set(['a']) },
    { upstreams: [] },
    { unmatched: 'deny' },
    {
      blocks: [
        {
          blocked: { kind: 'package', package: 'hello', versions: null },
          reason: 'recalled',
        },
      ],
    },
    { blocks: [{ blocked: { kind: 'key', key: publicKeyOf(keys.a) }, reason: 'stolen' }] },
  ]
  for (const change of changes) {
    const a = createFakeUpstream('a', {
      realisation: () => {
        world.policy = { ...world.policy, ...change, epoch: '2' }
        return byA
      },
    })
    const world = createWorld({ upstreams: [a] })
    t.equal((await world.find()).kind, 'refused', Object.keys(change).join())
  }
})

t.test('one that is suspended meanwhile is not asked', async (t) => {
  const a = createFakeUpstream('a', {
    realisation: () => {
      world.policy = { ...world.policy, suspended: new Set(['b']), epoch: '2' }
      return null
    },
  })
  const world = createWorld({ upstreams: [a, upstream('b', byB)] })
  t.equal((await world.find()).kind, 'absent')
  t.strictSame(world.asked(), ['a'])
})

t.test('an upstream that takes too long could not tell', async (t) => {
  const a = createFakeUpstream('a', {
    realisation: async (_, signal) => {
      await delay(60_000, null, { signal }).catch(() => undefined)
      throw new UpstreamError('timeout', 'no answer in time')
    },
  })
  const { policy, log } = createWorld({ upstreams: [a] })
  const realisations = createRealisations({
    ...{ upstreams: () => [a], policy: () => policy, isEnabled: () => true, log },
    timeoutMs: 5,
  })
  const why = 'a: timeout, no answer in time'
  t.strictSame(await realisations.find(asked, patient), { kind: 'unknown', why })
})

t.test('what is no failure of an upstream is thrown', async (t) => {
  const broken = new Error('broken')
  const a = createFakeUpstream('a', {
    realisation: () => {
      throw broken
    },
  })
  await t.rejects(createWorld({ upstreams: [a] }).find(), broken)
})

t.test('the order is by tier, then private, then as the policy has it', async (t) => {
  const of = (name: string, tier: number, isPrivate: boolean): PolicyUpstream => ({
    ...{ name, tier, private: isPrivate, keys: [], optional: false },
    ...{ insecureUnsigned: false, equivalent: null },
  })
  const upstreams = [
    of('1', 1, false),
    of('2', 0, false),
    of('3', 1, true),
    of('4', 0, true),
    of('5', 0, false),
  ]
  t.equal(
    askingOrder({ upstreams })
      .map(({ name }) => name)
      .join(''),
    '42531',
  )
})
