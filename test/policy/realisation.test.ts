import t from 'tap'
import { formatSignature, type PublicKey, publicKeyOf } from '../../src/nix/signature.ts'
import { path, must } from '../nix/fixtures.ts'
import { judgeRealisation } from '../../src/policy/judge-realisation.ts'
import { acmeKey, auditKey, impostorKey, nixosKey, strangerKey } from './policies.ts'
import {
  asked,
  blocked,
  hash,
  hello,
  helloTrace,
  mapping,
  nixOut,
  output,
  policy,
  type Row,
  signed,
  testRows,
  traced,
  unruled,
} from './realisation-rows.ts'

const blockedKey = (key: PublicKey) => blocked({ kind: 'key', key })

const rows: Readonly<Record<string, Row>> = {
  'a signature by a key of its upstream': {
    realisation: signed(hello, [nixosKey]),
    policy: unruled,
    is: 'trusted',
  },
  'a signature by a key of its upstream, by path': {
    realisation: signed(helloTrace, [nixosKey]),
    is: 'trusted',
  },
  'no signature': { realisation: signed(hello, []), is: 'no-trusted-signature' },
  'no signature, from an upstream that is trusted without': {
    from: 'open',
    realisation: signed(hello, []),
    is: 'no-trusted-signature',
  },
  "a signature by another upstream's key": {
    realisation: signed(hello, [acmeKey]),
    is: 'no-trusted-signature',
  },
  'a signature by a key that nobody holds': {
    realisation: signed(hello, [strangerKey]),
    is: 'unknown-key',
  },
  'a signature under a name of ours by another key': {
    realisation: signed(hello, [impostorKey]),
    is: 'no-trusted-signature',
  },
  'a signature over another path': {
    realisation: { ...signed(hello, [nixosKey]), outPath: path(`${hash}-hello-1.1`) },
    is: 'no-trusted-signature',
  },
  'a signature over another output': {
    realisation: { ...signed(mapping('hello-1.0', output('b')), [nixosKey]), output: asked },
    is: 'no-trusted-signature',
  },
  'another output than was asked for': {
    asked,
    realisation: signed(mapping('hello-1.0', output('b')), [nixosKey]),
    is: 'malformed',
  },
  'a name of which a rule names another upstream': {
    from: 'acme',
    realisation: signed(mapping('nix-2.0'), [acmeKey, nixosKey]),
    is: 'upstream-not-allowed',
  },
  'a name of which a rule names the upstream': {
    realisation: signed(traced('nix-2.0'), [nixosKey]),
    is: 'trusted',
  },
  'an upstream that the policy does not name': {
    from: 'gone',
    realisation: signed(hello, [nixosKey]),
    is: 'upstream-not-allowed',
  },
  'an upstream that is suspended': {
    realisation: signed(hello, [nixosKey]),
    policy: { suspended: new Set(['nixos']) },
    is: 'upstream-suspended',
  },
  'another upstream suspended': {
    realisation: signed(hello, [nixosKey]),
    policy: { ...unruled, suspended: new Set(['acme']) },
    is: 'trusted',
  },
  'no rule, where what none matches is denied': {
    realisation: signed(hello, [nixosKey]),
    policy: { unmatched: 'deny' },
    is: 'unmatched',
  },
  'a rule, where what none matches is denied': {
    realisation: signed(traced('nix-2.0'), [nixosKey]),
    policy: { unmatched: 'deny' },
    is: 'trusted',
  },
  "a rule's key instead of the upstream's": {
    realisation: signed(traced('audited-1'), [auditKey]),
    is: 'trusted',
  },
  "the upstream's key instead of the rule's": {
    realisation: signed(mapping('audited-1'), [nixosKey]),
    is: 'no-trusted-signature',
  },
  "a rule's key for a name that the rule is not for": {
    realisation: signed(hello, [auditKey]),
    is: 'no-trusted-signature',
  },
  'a name of which two upstreams must agree': {
    realisation: signed(mapping('firefox-1'), [nixosKey, acmeKey]),
    is: 'no-agreement',
  },
  'a blocked key': {
    realisation: signed(hello, [nixosKey]),
    policy: blockedKey(publicKeyOf(nixosKey)),
    is: 'no-trusted-signature',
  },
  "a rule's key that is blocked under another name": {
    realisation: signed(mapping('audited-1'), [auditKey]),
    policy: blockedKey({ ...publicKeyOf(auditKey), name: 'other-1' }),
    is: 'no-trusted-signature',
  },
  'a blocked package': {
    realisation: signed(hello, [nixosKey]),
    policy: blocked({ kind: 'package', package: 'hello', versions: ['1.0'] }),
    is: 'blocked',
  },
  'a blocked version of another number': {
    realisation: signed(hello, [nixosKey]),
    policy: { ...unruled, ...blocked({ kind: 'package', package: 'hello', versions: ['1.1'] }) },
    is: 'trusted',
  },
  'a blocked path': {
    realisation: signed(hello, [nixosKey]),
    policy: blocked({ kind: 'path', baseName: `${hash}-hello-1.0` }),
    is: 'blocked',
  },
  'a blocked hash': {
    realisation: signed(hello, [nixosKey]),
    policy: blocked({ kind: 'hash', hash }),
    is: 'blocked',
  },
  'a block that outranks a suspension and a missing signature': {
    realisation: signed(hello, []),
    policy: { ...blocked({ kind: 'hash', hash }), suspended: new Set(['nixos']) },
    is: 'blocked',
  },
  'no signature, in report-only mode': {
    realisation: signed(hello, []),
    policy: { enforce: false },
    is: 'no-trusted-signature',
  },
  'a name of which a rule names another upstream, in report-only mode': {
    from: 'acme',
    realisation: signed(mapping('nix-2.0'), [acmeKey]),
    policy: { enforce: false },
    is: 'upstream-not-allowed',
  },
  'a dependent that the same key may vouch for': {
    realisation: signed(helloTrace, [nixosKey], [traced('nix-2.0')]),
    is: 'trusted',
  },
  'a dependent that the upstream may not give': {
    from: 'acme',
    realisation: signed(helloTrace, [acmeKey], [traced('nix-2.0')]),
    is: 'upstream-not-allowed',
  },
  'a dependent that another key must vouch for': {
    realisation: signed(helloTrace, [nixosKey], [traced('audited-1')]),
    is: 'no-trusted-signature',
  },
  'two keys of which none may vouch for both it and its dependent': {
    realisation: signed(helloTrace, [nixosKey, auditKey], [traced('audited-1')]),
    is: 'no-trusted-signature',
  },
  'a dependent of which two upstreams must agree': {
    realisation: signed(helloTrace, [nixosKey], [traced('firefox-1')]),
    is: 'no-agreement',
  },
  'a blocked dependent': {
    realisation: signed(helloTrace, [nixosKey], [traced('bad-1')]),
    policy: blocked({ kind: 'package', package: 'bad', versions: null }),
    is: 'blocked',
  },
  'a dependent that was added to what is signed': {
    realisation: { ...signed(hello, [nixosKey]), dependents: [mapping('dep-1', output('b'))] },
    policy: unruled,
    is: 'no-trusted-signature',
  },
}

testRows(t, rows)

t.test('only the signatures that vouch are handed on', async (t) => {
  const keys = [strangerKey, impostorKey, acmeKey, nixosKey]
  const realisation = signed(helloTrace, keys)
  const verdict = judgeRealisation(policy, 'nixos', helloTrace.output, realisation)
  if (verdict.kind !== 'trusted') throw new Error(verdict.reason)
  t.strictSame(
    verdict.realisation.signatures.map((signature) => formatSignature(signature)),
    [formatSignature(must(realisation.signatures[3]))],
  )
  t.strictSame(
    verdict.keys.map(({ name }) => name),
    ['nixos-1'],
  )
  t.strictSame(verdict.badSignatures, ['nixos-1'], "the impostor's")
  t.equal(verdict.rule, null)
})

t.test('a verdict names the rule, and the path that is at fault', async (t) => {
  const nix = judgeRealisation(
    policy,
    'nixos',
    nixOut,
    signed(mapping('nix-2.0', nixOut), [nixosKey]),
  )
  t.equal(nix.kind === 'trusted' && nix.rule, 'about nix')
  const refused = judgeRealisation(
    policy,
    'nixos',
    helloTrace.output,
    signed(helloTrace, [nixosKey], [traced('firefox-1')]),
  )
  t.equal(refused.kind === 'refused' && refused.path.name, 'firefox-1')
})
