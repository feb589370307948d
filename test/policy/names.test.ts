import t from 'tap'
import type { Policy } from '../../src/policy/policy.ts'
import { brief, decisionOn, fates } from './answers.ts'
import { called, type Fields, flat, plain, signed } from './claims.ts'
import {
  acmeKey,
  blocking,
  nixosKey,
  policy as base,
  rule,
  strangerKey,
  upstream,
} from './policies.ts'

const policy: Policy = {
  ...base,
  upstreams: [
    upstream('nixos', [nixosKey]),
    upstream('acme', [acmeKey]),
    upstream('open', [], { insecureUnsigned: true }),
  ],
}
const nix = signed(called('nix-2.18'), nixosKey)
const harmless = signed(called('harmless'), acmeKey)
const onlyAcmeNix: Policy = {
  ...policy,
  rules: [rule({ packages: new Set(['nix']), from: ['acme'] })],
}

t.test('of two signed names for one hash the less preferred loses, and is a lie', async (t) => {
  const decision = decisionOn(policy, { nixos: nix, acme: harmless })
  t.equal(brief(decision.choice), 'trusted nixos')
  t.strictSame(fates(decision), { nixos: 'trusted', acme: 'name-conflict', open: 'absent' })
  t.strictSame(decision.lies, [
    { upstream: 'acme', claimed: 'harmless', truth: 'nix-2.18', by: 'nixos', isPunished: true },
  ])
})

t.test("a rule's order of preference does not decide which name is true", async (t) => {
  const reversed = { ...policy, rules: [rule({ from: ['acme', 'nixos'] })] }
  const decision = decisionOn(reversed, { nixos: nix, acme: harmless })
  t.equal(brief(decision.choice), 'trusted nixos')
})

t.test('a name that wins by its rule is not chosen before a better upstream spoke', async (t) => {
  const rules = { ...policy, rules: [rule({ paths: ['harmless'], from: ['acme'] })] }
  t.equal(brief(decisionOn(rules, { nixos: 'awaited', acme: harmless }).choice), 'wait')
  t.equal(brief(decisionOn(rules, { nixos: nix, acme: harmless }).choice), 'trusted nixos')
})

t.test('equal names are no conflict, whatever else differs', async (t) => {
  const other = signed({ ...called('nix-2.18'), narSize: '7' }, acmeKey)
  const decision = decisionOn(policy, { nixos: nix, acme: other })
  t.strictSame(decision.lies, [])
  t.ok(decision.isDivergent)
})

t.test(
  'a name under a signature that is wrong, or by nobody known, is no lie of its upstream',
  async (t) => {
    const other = signed({ ...called('harmless'), narSize: '7' }, acmeKey)
    const forged = { ...called('harmless'), sigs: other.sigs }
    const strange = signed(called('harmless'), strangerKey)
    for (const claim of [forged, strange, called('harmless')]) {
      t.strictSame(decisionOn(policy, { nixos: nix, acme: claim }).lies, [])
    }
  },
)

t.test('a claim that is refused makes no other lose', async (t) => {
  const unsigned = called('nix-2.18')
  const decision = decisionOn(policy, { nixos: unsigned, acme: harmless })
  t.equal(brief(decision.choice), 'trusted acme')
  t.strictSame(decision.lies, [])
  const notAllowed = decisionOn(onlyAcmeNix, { nixos: nix, acme: harmless })
  t.equal(brief(notAllowed.choice), 'trusted acme', 'refused by a rule, though signed')
  const recalled = { ...policy, ...blocking({ kind: 'package', package: 'nix', versions: null }) }
  t.equal(brief(decisionOn(recalled, { nixos: nix, acme: harmless }).choice), 'trusted acme')
})

t.test('a refused claim with a signed name is a lie all the same', async (t) => {
  const rules = { ...policy, rules: [rule({ paths: ['harmless'], from: ['nixos'] })] }
  const decision = decisionOn(rules, { nixos: nix, acme: harmless })
  t.strictSame(fates(decision), { nixos: 'trusted', acme: 'upstream-not-allowed', open: 'absent' })
  t.equal(decision.lies[0]?.upstream, 'acme')
})

t.test('who signed nothing has not lied', async (t) => {
  const decision = decisionOn(policy, { nixos: nix, acme: called('harmless') })
  t.strictSame(decision.lies, [])
  const relayed = decisionOn(policy, { nixos: nix, acme: signed(called('harmless'), nixosKey) })
  t.strictSame(relayed.lies, [], "another's signature is not its word")
})

t.test('an upstream that nobody vouches for convicts nobody', async (t) => {
  const openFirst = { ...policy, upstreams: policy.upstreams.toReversed() }
  const decision = decisionOn(openFirst, { open: called('nix-2.18'), acme: harmless })
  t.equal(fates(decision)['acme'], 'name-conflict', 'it is preferred')
  t.strictSame(decision.lies, [], 'it proves nothing')
})

/* A name that is proved. */
const claimedAs = (name: string, fields: Fields): Fields => ({
  ...fields,
  baseName: `${fields.baseName.slice(0, 32)}-${name}`,
  references: [],
  ca: null,
})
const lie = signed(claimedAs('nix-2.18', flat), nixosKey)

t.test('a name that a content address proves beats preference', async (t) => {
  const decision = decisionOn(policy, { nixos: lie, acme: flat })
  t.equal(brief(decision.choice), 'trusted acme')
  t.strictSame(fates(decision), { nixos: 'name-conflict', acme: 'trusted', open: 'absent' })
  t.strictSame(decision.lies, [
    { upstream: 'nixos', claimed: 'nix-2.18', truth: 'hello.txt', by: 'acme', isPunished: true },
  ])
})

t.test('a name that is proved stands, though its own claim is refused', async (t) => {
  const rules = { ...policy, rules: [rule({ paths: ['hello.txt'], from: ['nixos'] })] }
  const decision = decisionOn(rules, { nixos: lie, acme: flat })
  t.equal(brief(decision.choice), 'absent')
  t.strictSame(fates(decision), {
    nixos: 'name-conflict',
    acme: 'upstream-not-allowed',
    open: 'absent',
  })
})

t.test('a name that is proved is not unexpected', async (t) => {
  const expected = { name: 'nix-2.18', rank: 0 }
  t.equal(brief(decisionOn(policy, { acme: flat }, expected).choice), 'trusted acme')
})

/* Names that references expect. */
t.test("a name other than an equal or better upstream's references say is refused", async (t) => {
  for (const [rank, fate] of [
    [0, 'unexpected-name'],
    [1, 'unexpected-name'],
    [2, 'trusted'],
  ] as const) {
    const decision = decisionOn(policy, { acme: harmless }, { name: 'nix-2.18', rank })
    t.equal(fates(decision)['acme'], fate, `expected by rank ${rank}`)
    t.strictSame(decision.lies, [], 'a reference is no signature over that path')
  }
})

t.test('the expected name is trusted, whoever expects it', async (t) => {
  for (const rank of [0, 1, 2]) {
    const decision = decisionOn(policy, { acme: harmless }, { name: 'harmless', rank })
    t.equal(brief(decision.choice), 'trusted acme')
  }
})

t.test('a claim of an unexpected name makes no other lose', async (t) => {
  const decision = decisionOn(policy, { nixos: nix, acme: harmless }, { name: 'harmless', rank: 0 })
  t.equal(brief(decision.choice), 'trusted acme')
  t.strictSame(fates(decision), { nixos: 'unexpected-name', acme: 'trusted', open: 'absent' })
})

t.test('report only compares no names', async (t) => {
  const decision = decisionOn({ ...policy, enforce: false }, { nixos: nix, acme: harmless })
  t.strictSame(decision.lies, [])
  t.equal(brief(decision.choice), 'trusted nixos')
})

t.test('one name from all is no conflict, and no lie', async (t) => {
  const decision = decisionOn(policy, {
    nixos: signed(plain, nixosKey),
    acme: signed(plain, acmeKey),
  })
  t.strictSame(decision.lies, [])
  t.notOk(decision.isDivergent)
})

t.test('who is preferred in general has nobody suspended whom a rule names', async (t) => {
  const acmeFirst: Policy = {
    ...policy,
    upstreams: policy.upstreams.toReversed(),
    rules: [rule({ packages: new Set(['nix']), from: ['nixos'] })],
  }
  const decision = decisionOn(acmeFirst, { nixos: nix, acme: harmless })
  t.match(decision.lies, [{ upstream: 'nixos', by: 'acme', isPunished: false }])
})
