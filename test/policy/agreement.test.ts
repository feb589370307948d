import t from 'tap'
import { publicKeyOf, type SecretKey } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { brief, decisionOn, fates, type SaidBy, slotsOf, step } from './answers.ts'
import { flat, hashTwo, md5, plain, signed } from './claims.ts'
import { policy as base, rule, secretKey, upstream } from './policies.ts'

const [one, two, three, four] = ['one-1', 'two-1', 'three-1', 'four-1'].map((name, at) =>
  secretKey(name, at + 20),
) as [SecretKey, SecretKey, SecretKey, SecretKey]
/** The bytes of `one`, under another name. */
const again = secretKey('again-1', 20)

const agreeing = (
  agree: number,
  keys: Readonly<Record<string, readonly SecretKey[]>>,
  changes: Parameters<typeof rule>[0] = {},
): Policy => ({
  ...base,
  upstreams: Object.entries(keys).map(([name, held]) => upstream(name, held)),
  rules: [rule({ agree, ...changes })],
})
const three3 = { a: [one], b: [two], c: [three] }
const pair = agreeing(2, { a: [one], b: [two] })
const trio = agreeing(2, three3)

const by = (...keys: readonly SecretKey[]) => signed(plain, ...keys)
const other = (...keys: readonly SecretKey[]) => signed({ ...plain, narHash: hashTwo }, ...keys)
const chosen = (policy: Policy, saidBy: SaidBy): string => brief(decisionOn(policy, saidBy).choice)
const everybody = { a: by(one), b: by(two), c: by(three) }

t.test('two upstreams that say the same under two keys agree', async (t) => {
  const decision = decisionOn(pair, { a: by(one), b: by(two) })
  t.equal(brief(decision.choice), 'trusted a')
  t.strictSame(fates(decision), { a: 'trusted', b: 'trusted' })
})

t.test('one upstream is no agreement, whatever it signs with', async (t) => {
  const decision = decisionOn(agreeing(2, { a: [one, two], b: [three] }), { a: by(one, two) })
  t.equal(brief(decision.choice), 'absent')
  t.strictSame(fates(decision), { a: 'no-agreement', b: 'absent' })
})

t.test("a relay of one builder's signature is no second builder", async (t) => {
  const relaying = agreeing(2, { a: [one], b: [one, two] })
  t.equal(chosen(relaying, { a: by(one), b: by(one) }), 'absent')
  t.equal(chosen(relaying, { a: by(one), b: by(one, two) }), 'trusted a')
})

t.test('a relay counts under signed_by no more than its key does', async (t) => {
  const audited = agreeing(2, { a: [one], b: [two] }, { signedBy: [publicKeyOf(one)] })
  t.equal(chosen(audited, { a: by(one), b: by(one) }), 'absent')
  const both = agreeing(
    2,
    { a: [one], b: [two] },
    { signedBy: [publicKeyOf(one), publicKeyOf(two)] },
  )
  t.equal(chosen(both, { a: by(one, two), b: by(one, two) }), 'trusted a', 'two who saw both')
})

t.test('one key under two names is one key', async (t) => {
  const twice = agreeing(2, { a: [one], b: [again] })
  t.equal(chosen(twice, { a: by(one), b: by(again) }), 'absent')
})

t.test('upstreams are matched to keys, not counted greedily', async (t) => {
  /* Greedily a takes one, and nothing is left for c but by moving a to two, and b to three. */
  const chain = agreeing(3, { a: [one, two], b: [two, three], c: [one] })
  t.equal(chosen(chain, { a: by(one, two), b: by(two, three), c: by(one) }), 'trusted a')
  const short = agreeing(3, { a: [one, two], b: [one, two, three], c: [two, one, four], d: [four] })
  const shared = { a: by(one, two), b: by(one, two), c: by(one, two) }
  t.equal(chosen(short, shared), 'absent', 'three upstreams, two keys')
  t.equal(chosen(short, { ...shared, d: by(four) }), 'trusted a')
})

t.test('upstreams with the same keys are mirrors, and count as one', async (t) => {
  const mirrors = agreeing(2, { a: [one, two], b: [two, one], c: [three] })
  t.equal(chosen(mirrors, { a: by(one, two), b: by(one, two) }), 'absent')
  t.equal(chosen(mirrors, { a: by(one, two), b: by(one, two), c: by(three) }), 'trusted a')
})

t.test('a claim of another content is on no side but its own', async (t) => {
  t.equal(chosen(pair, { a: by(one), b: other(two) }), 'absent')
  const decision = decisionOn(trio, { a: other(one), b: by(two), c: by(three) })
  t.equal(brief(decision.choice), 'trusted b')
  t.strictSame(fates(decision), { a: 'no-agreement', b: 'trusted', c: 'trusted' })
  t.ok(decision.isDivergent, 'it is a divergence all the same')
})

for (const [what, change] of Object.entries({
  'another NarHash': { narHash: hashTwo },
  'another NarSize': { narSize: '310289' },
  'other references': { references: plain.references.slice(1) },
})) {
  t.test(`claims with ${what} are not equal`, async (t) => {
    t.equal(chosen(pair, { a: by(one), b: signed({ ...plain, ...change }, two) }), 'absent')
  })
}

t.test('the order of references, and how often they are said, makes no difference', async (t) => {
  const references = [...plain.references, ...plain.references].reverse()
  t.equal(chosen(pair, { a: by(one), b: signed({ ...plain, references }, two) }), 'trusted a')
})

t.test('a CA that only one of two names is no difference', async (t) => {
  const without = signed({ ...md5, ca: null }, two)
  t.equal(chosen(pair, { a: signed(md5, one), b: without }), 'trusted a')
})

t.test('two groups that both reach the number are refused', async (t) => {
  const four4 = agreeing(2, { ...three3, d: [four] })
  const decision = decisionOn(four4, { a: by(one), b: by(two), c: other(three), d: other(four) })
  t.equal(brief(decision.choice), 'absent')
  t.ok(Object.values(fates(decision)).every((fate) => fate === 'divergence'))
})

t.test('a strong content address satisfies any number', async (t) => {
  const many = agreeing(3, three3)
  t.equal(chosen(many, { b: flat }), 'trusted b')
  t.equal(chosen(many, { b: signed(flat, two) }), 'trusted b')
  t.equal(chosen(many, { b: signed(md5, two) }), 'absent', 'a weak one does not')
})

t.test('who says the same as a content address that proves itself agrees with it', async (t) => {
  const decision = decisionOn(pair, { a: signed({ ...flat, ca: null }, one), b: flat })
  t.equal(brief(decision.choice), 'trusted a')
  t.strictSame(fates(decision), { a: 'trusted', b: 'trusted' })
})

t.test('an outage of somebody whose word is needed is no refusal', async (t) => {
  t.equal(chosen(pair, { a: by(one), b: 'down' }), 'unknown')
  t.equal(chosen(trio, { a: by(one), b: by(two), c: 'down' }), 'trusted a')
})

t.test('what is still to come is awaited only while it could decide', async (t) => {
  t.equal(chosen(trio, { a: by(one), b: 'awaited' }), 'wait')
  t.equal(chosen(trio, { a: by(one), b: by(two), c: 'awaited' }), 'trusted a')
  t.equal(chosen(trio, { a: by(one), b: other(two), c: 'awaited' }), 'wait')
  t.equal(chosen(trio, { a: 'awaited', b: by(two), c: by(three) }), 'wait', 'the preferred one')
  const five = agreeing(2, { ...three3, d: [four] })
  const split = { a: by(one), b: by(two), c: other(three), d: 'awaited' as const }
  t.equal(chosen(five, split), 'wait', 'd could give c its second')
})

t.test('an agreement that refuses divergence stands no other word beside it', async (t) => {
  const strict = agreeing(2, three3, { onDivergence: 'refuse' })
  t.equal(chosen(strict, everybody), 'trusted a')
  const decision = decisionOn(strict, { ...everybody, c: other(three) })
  t.equal(brief(decision.choice), 'absent')
  t.strictSame(fates(decision), { a: 'divergence', b: 'divergence', c: 'divergence' })
})

t.test('all of from are asked at once, whatever their tier', async (t) => {
  const tiered: Policy = {
    ...trio,
    upstreams: [
      upstream('a', [one]),
      upstream('b', [two], { tier: 1 }),
      upstream('c', [three], { tier: 2 }),
      upstream('d', [four], { tier: 3 }),
    ],
    rules: [rule({ agree: 2, from: ['a', 'b', 'c'] })],
  }
  const unasked = { b: 'unasked', c: 'unasked', d: 'unasked' } as const
  t.equal(step(decisionOn(tiered, { a: by(one), ...unasked })), 'ask b c')
  t.equal(step(decisionOn(tiered, { a: 'absent', ...unasked })), 'ask b')
  t.equal(step(decisionOn(tiered, { a: flat, ...unasked })), 'trusted a', 'that proves itself')
  t.equal(slotsOf(tiered, unasked).length, 4)
})
