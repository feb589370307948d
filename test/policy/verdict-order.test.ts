import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { maySpeakFor } from '../../src/policy/verdict.ts'
import {
  called,
  type Fields,
  flat,
  hashTwo,
  md5,
  plain,
  recursive,
  toOthers,
  refused,
  signed,
  type Summary,
  summary,
  trustedBy,
  verdictOn,
  withSelf,
  wrongCa,
} from './claims.ts'
import { acmeKey, nixosKey, auditKey, blocking, policy, rule, sharedKey } from './policies.ts'

const topBlocked = blocking({ kind: 'package', package: 'top', versions: null })
const onlyAcme: Partial<Policy> = { rules: [rule({ from: ['acme'] })] }
const audited: Partial<Policy> = { rules: [rule({ signedBy: [publicKeyOf(auditKey)] })] }
const suspended: Partial<Policy> = { suspended: new Set(['nixos']) }

type Row = {
  readonly claim: Fields
  readonly from?: string
  readonly policy?: Partial<Policy>
  readonly is: Summary
}
const good = signed(plain, nixosKey)
const trusted = trustedBy(good, 'nixos-1', ['vouches'])

const rows: Readonly<Record<string, Row>> = {
  /* The second step … */
  'a block outranks suspension, rules and every signature': {
    claim: good,
    policy: { ...topBlocked, ...suspended, ...onlyAcme },
    is: refused('blocked', 'vouches'),
  },
  'a block outranks a content address that is wrong': {
    claim: wrongCa,
    policy: topBlocked,
    is: refused('blocked'),
  },
  'a block outranks a content address that proves itself': {
    claim: flat,
    policy: blocking({ kind: 'hash', hash: flat.baseName.slice(0, 32) }),
    is: refused('blocked'),
  },
  'a block outranks report-only': {
    claim: good,
    policy: { ...topBlocked, enforce: false },
    is: refused('blocked', 'vouches'),
  },
  /* … the third … */
  'a suspended upstream is refused, whoever signed': {
    claim: good,
    policy: suspended,
    is: refused('upstream-suspended', 'vouches'),
  },
  'a suspended upstream is refused with a content address that proves itself': {
    claim: flat,
    policy: suspended,
    is: refused('upstream-suspended'),
  },
  'suspension is named before the rule': {
    claim: good,
    policy: { ...suspended, ...onlyAcme },
    is: refused('upstream-suspended', 'vouches'),
  },
  'another upstream than the rule names is refused, whoever signed': {
    claim: signed(plain, nixosKey, sharedKey, acmeKey),
    policy: onlyAcme,
    is: refused('upstream-not-allowed', 'vouches', 'vouches', 'valid'),
  },
  'another upstream than the rule names is refused with a content address that proves itself': {
    claim: flat,
    policy: onlyAcme,
    is: refused('upstream-not-allowed'),
  },
  'another upstream than the rule names is refused before its content address is looked at': {
    claim: wrongCa,
    policy: onlyAcme,
    is: refused('upstream-not-allowed'),
  },
  'an upstream that the rule names is allowed': {
    claim: signed(plain, acmeKey),
    from: 'acme',
    policy: onlyAcme,
    is: trustedBy(signed(plain, acmeKey), 'acme-1', ['vouches']),
  },
  'what no rule matches is allowed': {
    claim: good,
    policy: { rules: [rule({ paths: ['other-*'], from: ['acme'] })] },
    is: trusted,
  },
  'what no rule matches is refused where the policy denies it': {
    claim: good,
    policy: { rules: [rule({ paths: ['other-*'] })], unmatched: 'deny' },
    is: refused('upstream-not-allowed', 'vouches'),
  },
  'what proves itself is refused too where the policy denies what no rule matches': {
    claim: flat,
    policy: { unmatched: 'deny' },
    is: refused('upstream-not-allowed'),
  },
  'a rule without conditions allows what would be denied': {
    claim: good,
    policy: { rules: [rule()], unmatched: 'deny' },
    is: trusted,
  },
  /* … the fourth … */
  'a NAR that is not its own content address contradicts it': {
    claim: { ...recursive, narHash: hashTwo },
    is: refused('bad-content-address'),
  },
  'so it does where it refers to others': {
    claim: { ...toOthers, narHash: hashTwo },
    is: refused('bad-content-address'),
  },
  'a NAR that refers to others and is its own content address is proved': {
    claim: toOthers,
    is: trustedBy(toOthers, 'CA', []),
  },
  'a signed NAR that is not its own content address loses the field': {
    claim: signed({ ...recursive, narHash: hashTwo }, nixosKey),
    is: trustedBy(signed({ ...recursive, narHash: hashTwo }, nixosKey), 'nixos-1', ['vouches'], {
      ca: null,
    }),
  },
  'a NAR with its own path in it has another hash than its content address': {
    claim: { ...withSelf, narHash: hashTwo },
    is: trustedBy(withSelf, 'CA', []),
  },
}

for (const [title, { claim, from, policy: changes, is }] of Object.entries(rows)) {
  t.test(title, async (t) => {
    t.strictSame(summary(verdictOn(claim, from, { ...policy, ...changes })), is)
  })
}

t.test('a block is named in the refusal, and nothing else is', async (t) => {
  const rules = { ...policy, ...topBlocked }
  const verdict = verdictOn(good, 'nixos', rules)
  t.equal(verdict.kind === 'refused' && verdict.block, rules.blocks[0])
  const other = verdictOn(plain)
  t.equal(other.kind === 'refused' && other.block, null)
})

t.test(
  'a refusal keeps what was found: the rule, each signature, and who stands for the name',
  (t) => {
    const {
      rule: by,
      evidence,
      isSignedByUpstream,
    } = verdictOn(good, 'nixos', {
      ...policy,
      ...onlyAcme,
    })
    t.equal(by?.name, 'the rule')
    t.strictSame(evidence, [{ keyName: 'nixos-1', result: 'vouches' }])
    t.ok(isSignedByUpstream)
    t.notOk(verdictOn(signed(plain, acmeKey), 'nixos').isSignedByUpstream, "another upstream's key")
    t.ok(verdictOn(good, 'nixos', { ...policy, ...audited }).isSignedByUpstream)
    t.ok(verdictOn(flat).isNameProven)
    t.notOk(verdictOn(md5).isNameProven)
    t.end()
  },
)

t.test('the first rule that matches decides for a claim, not the strictest', async (t) => {
  const rules = [rule({ name: 'lax', paths: ['top'] }), rule({ name: 'strict', from: ['acme'] })]
  t.equal(verdictOn(good, 'nixos', { ...policy, rules }).kind, 'trusted')
  const other = verdictOn(signed(called('other'), nixosKey), 'nixos', { ...policy, rules })
  t.equal(other.kind, 'refused')
  t.equal(other.rule?.name, 'strict')
})

t.test('who may speak for a name is what the rule says, and whom there is', async (t) => {
  const rules = { ...policy, rules: [rule({ paths: ['acme-*'], from: ['acme'] })] }
  t.ok(maySpeakFor(rules, 'acme', 'acme-1'))
  t.notOk(maySpeakFor(rules, 'nixos', 'acme-1'))
  t.ok(maySpeakFor(rules, 'nixos', 'other-1'))
  t.notOk(maySpeakFor({ ...rules, unmatched: 'deny' }, 'nixos', 'other-1'))
  t.notOk(maySpeakFor({ ...rules, ...suspended }, 'nixos', 'other-1'))
  t.notOk(maySpeakFor(rules, 'removed', 'other-1'))
})
