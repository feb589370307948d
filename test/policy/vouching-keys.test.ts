import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Policy } from '../../src/policy/policy.ts'
import {
  broken,
  flat,
  md5,
  plain,
  refused,
  signature,
  signed,
  summary,
  trustedBy,
  verdictOn,
  wrongCa,
  type Fields,
  type Summary,
} from './claims.ts'
import {
  auditKey,
  blocking,
  nixosKey,
  policy as base,
  rule,
  sharedKey,
  strangerKey,
  upstream,
} from './policies.ts'

const policy: Policy = {
  ...base,
  upstreams: [
    ...base.upstreams,
    upstream('auditor', [auditKey]),
    upstream('open', [], { insecureUnsigned: true }),
  ],
}
const blockedKey = (key: typeof nixosKey, name = key.name): Partial<Policy> =>
  blocking({ kind: 'key', key: { ...publicKeyOf(key), name } })
const onlyAcme: Partial<Policy> = { rules: [rule({ from: ['acme'] })] }
const audited: Partial<Policy> = { rules: [rule({ signedBy: [publicKeyOf(auditKey)] })] }

type Row = {
  readonly claim: Fields
  readonly from?: string
  readonly policy?: Partial<Policy>
  readonly is: Summary
}
const good = signed(plain, nixosKey)
const trusted = trustedBy(good, 'nixos-1', ['vouches'])

const rows: Readonly<Record<string, Row>> = {
  /* Keys that a rule names, which a content address never replaces … */
  "a rule's key must vouch: the upstream's own does not": {
    claim: good,
    policy: audited,
    is: refused('no-trusted-signature', 'valid'),
  },
  "a rule's key vouches for a claim that another upstream relays": {
    claim: signed(plain, auditKey),
    policy: audited,
    is: trustedBy(signed(plain, auditKey), 'audit-1', ['vouches']),
  },
  "a rule's key vouches for what an upstream without keys relays": {
    claim: signed(plain, auditKey),
    from: 'keyless',
    policy: audited,
    is: trustedBy(signed(plain, auditKey), 'audit-1', ['vouches']),
  },
  "a relayed signature does not vouch without a rule: it is not the upstream's own": {
    claim: signed(plain, auditKey),
    is: refused('no-trusted-signature', 'valid'),
  },
  "a rule's key that signed something else is a bad signature": {
    claim: { ...plain, sigs: [broken(signature(auditKey, plain))] },
    policy: audited,
    is: refused('no-trusted-signature', 'bad-signature'),
  },
  "what proves itself needs the rule's key too": {
    claim: flat,
    policy: audited,
    is: refused('no-trusted-signature'),
  },
  "what proves itself and has the rule's key is vouched for by the key": {
    claim: signed(flat, auditKey),
    policy: audited,
    is: trustedBy(signed(flat, auditKey), 'audit-1', ['vouches']),
  },
  "an unknown key is not the rule's": {
    claim: signed(plain, strangerKey),
    policy: audited,
    is: refused('unknown-key', 'unknown-key'),
  },
  "both the upstream's signature and the rule's are handed on": {
    claim: signed(plain, nixosKey, auditKey),
    policy: audited,
    is: trustedBy(signed(plain, nixosKey, auditKey), 'audit-1', ['valid', 'vouches']),
  },
  /* … blocked keys, which never count … */
  'a signature by a blocked key does not vouch, and is not handed on': {
    claim: good,
    policy: blockedKey(nixosKey),
    is: refused('no-trusted-signature', 'blocked-key'),
  },
  'a key is blocked by its bytes, under whatever name': {
    claim: good,
    policy: blockedKey(nixosKey, 'another-1'),
    is: refused('no-trusted-signature', 'blocked-key'),
  },
  'a blocked name with other bytes blocks nothing': {
    claim: good,
    policy: blockedKey(strangerKey, 'nixos-1'),
    is: trusted,
  },
  'another key vouches beside one that is blocked, and goes out alone': {
    claim: signed(plain, nixosKey, sharedKey),
    policy: blockedKey(nixosKey),
    is: trustedBy(signed(plain, nixosKey, sharedKey), 'shared-1', ['blocked-key', 'vouches'], {
      handedOn: [signature(sharedKey, plain)],
    }),
  },
  "a rule's key that is blocked does not vouch": {
    claim: signed(plain, auditKey),
    policy: { ...audited, ...blockedKey(auditKey) },
    is: refused('no-trusted-signature', 'blocked-key'),
  },
  'what proves itself is trusted beside a blocked key': {
    claim: signed(flat, nixosKey),
    policy: blockedKey(nixosKey),
    is: trustedBy(signed(flat, nixosKey), 'CA', ['blocked-key'], { handedOn: [] }),
  },
  /* … and an upstream that is believed without signatures. */
  'an insecure upstream needs no signature, and nobody vouches': {
    claim: plain,
    from: 'open',
    is: trustedBy(plain, 'nobody', []),
  },
  'an insecure upstream is believed beside a signature of an unknown key': {
    claim: signed(plain, strangerKey),
    from: 'open',
    is: trustedBy(signed(plain, strangerKey), 'nobody', ['unknown-key'], { handedOn: [] }),
  },
  "an insecure upstream's weak content address is believed": {
    claim: md5,
    from: 'open',
    is: trustedBy(md5, 'nobody', []),
  },
  "an insecure upstream's wrong content address is refused": {
    claim: wrongCa,
    from: 'open',
    is: refused('bad-content-address'),
  },
  'an insecure upstream needs the key that a rule names': {
    claim: plain,
    from: 'open',
    policy: audited,
    is: refused('no-trusted-signature'),
  },
  'an insecure upstream is held to rules and blocks': {
    claim: plain,
    from: 'open',
    policy: onlyAcme,
    is: refused('upstream-not-allowed'),
  },
}

for (const [title, { claim, from, policy: changes, is }] of Object.entries(rows)) {
  t.test(title, async (t) => {
    t.strictSame(summary(verdictOn(claim, from, { ...policy, ...changes })), is)
  })
}
