import t from 'tap'
import { type DrvOutput, parseDrvOutput, parseDrvOutputFile } from '../../src/nix/drv-output.ts'
import {
  type Mapping,
  type Realisation,
  realisationFingerprint,
} from '../../src/nix/realisation.ts'
import {
  formatSignature,
  generateSecretKey,
  type PublicKey,
  publicKeyOf,
  type SecretKey,
  sign,
} from '../../src/nix/signature.ts'
import type { Blocked } from '../../src/policy/block.ts'
import { judgeRealisation } from '../../src/policy/judge-realisation.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import type { Rule } from '../../src/policy/rule.ts'
import { must, path, storeDir } from '../nix/fixtures.ts'

const nixosKey = generateSecretKey('nixos-1')
const acmeKey = generateSecretKey('acme-1')
const auditKey = generateSecretKey('audit-1')
const strangerKey = generateSecretKey('stranger-1')
const impostorKey = generateSecretKey('nixos-1')

const upstream = (name: string, ...keys: readonly SecretKey[]): PolicyUpstream => ({
  name,
  keys: keys.map((key) => publicKeyOf(key)),
  optional: false,
  tier: 0,
  private: false,
  insecureUnsigned: false,
  equivalent: null,
})

const rule = (packageName: string, changes: Partial<Rule>): Rule => ({
  name: `about ${packageName}`,
  packages: new Set([packageName]),
  paths: [],
  from: null,
  signedBy: null,
  agree: 1,
  onDivergence: 'serve',
  ...changes,
})

const policy: Policy = {
  epoch: '1',
  storeDir,
  maxNarBytes: 1_000_000,
  upstreams: [
    upstream('nixos', nixosKey),
    upstream('acme', acmeKey),
    { ...upstream('open'), insecureUnsigned: true },
  ],
  suspended: new Set(),
  rules: [
    rule('nix', { from: ['nixos'] }),
    rule('audited', { signedBy: [publicKeyOf(auditKey)] }),
    rule('firefox', { agree: 2 }),
  ],
  unmatched: 'allow',
  enforce: true,
  blocks: [],
}

const output = (digit: string): DrvOutput => must(parseDrvOutput(`sha256:${digit.repeat(64)}!out`))
const asked = output('a')
const hash = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'
const mapping = (name: string, of = asked): Mapping => ({
  output: of,
  outPath: path(`${hash}-${name}`),
})

function signed(
  about: Mapping,
  keys: readonly SecretKey[],
  dependents: readonly Mapping[] = [],
): Realisation {
  const unsigned = { ...about, dependents }
  const message = realisationFingerprint(unsigned)
  return { ...unsigned, signatures: keys.map((key) => sign(key, message)) }
}

const blocked = (what: Blocked): Partial<Policy> => ({
  blocks: [{ blocked: what, reason: 'recalled' }],
})
const blockedKey = (key: PublicKey) => blocked({ kind: 'key', key })
const hello = mapping('hello-1.0')

type Row = {
  readonly from?: string
  readonly realisation: Realisation
  readonly policy?: Partial<Policy>
  /** `trusted`, or why it is refused. */
  readonly is: string
}

const rows: Readonly<Record<string, Row>> = {
  'a signature by a key of its upstream': { realisation: signed(hello, [nixosKey]), is: 'trusted' },
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
    realisation: signed(mapping('hello-1.0', output('b')), [nixosKey]),
    is: 'malformed',
  },
  'a name of which a rule names another upstream': {
    from: 'acme',
    realisation: signed(mapping('nix-2.0'), [acmeKey, nixosKey]),
    is: 'upstream-not-allowed',
  },
  'a name of which a rule names the upstream': {
    realisation: signed(mapping('nix-2.0'), [nixosKey]),
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
    policy: { suspended: new Set(['acme']) },
    is: 'trusted',
  },
  'no rule, where what none matches is denied': {
    realisation: signed(hello, [nixosKey]),
    policy: { unmatched: 'deny' },
    is: 'unmatched',
  },
  'a rule, where what none matches is denied': {
    realisation: signed(mapping('nix-2.0'), [nixosKey]),
    policy: { unmatched: 'deny' },
    is: 'trusted',
  },
  "a rule's key instead of the upstream's": {
    realisation: signed(mapping('audited-1'), [auditKey]),
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
    policy: blocked({ kind: 'package', package: 'hello', versions: ['1.1'] }),
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
    realisation: signed(hello, [nixosKey], [mapping('nix-2.0', output('b'))]),
    is: 'trusted',
  },
  'a dependent that the upstream may not give': {
    from: 'acme',
    realisation: signed(hello, [acmeKey], [mapping('nix-2.0', output('b'))]),
    is: 'upstream-not-allowed',
  },
  'a dependent that another key must vouch for': {
    realisation: signed(hello, [nixosKey], [mapping('audited-1', output('b'))]),
    is: 'no-trusted-signature',
  },
  'two keys of which none may vouch for both it and its dependent': {
    realisation: signed(hello, [nixosKey, auditKey], [mapping('audited-1', output('b'))]),
    is: 'no-trusted-signature',
  },
  'a dependent of which two upstreams must agree': {
    realisation: signed(hello, [nixosKey], [mapping('firefox-1', output('b'))]),
    is: 'no-agreement',
  },
  'a blocked dependent': {
    realisation: signed(hello, [nixosKey], [mapping('bad-1', output('b'))]),
    policy: blocked({ kind: 'package', package: 'bad', versions: null }),
    is: 'blocked',
  },
  'a dependent that was added to what is signed': {
    realisation: {
      ...signed(hello, [nixosKey]),
      dependents: [mapping('dep-1', output('b'))],
    },
    is: 'no-trusted-signature',
  },
}

for (const [what, row] of Object.entries(rows)) {
  t.test(`${what}: ${row.is}`, async (t) => {
    const { from = 'nixos', realisation } = row
    const verdict = judgeRealisation({ ...policy, ...row.policy }, from, asked, realisation)
    t.equal(verdict.kind === 'refused' ? verdict.reason : verdict.kind, row.is)
  })
}

t.test('only the signatures that vouch are handed on', async (t) => {
  const keys = [strangerKey, impostorKey, acmeKey, nixosKey]
  const realisation = signed(hello, keys)
  const verdict = judgeRealisation(policy, 'nixos', asked, realisation)
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
  const nix = judgeRealisation(policy, 'nixos', asked, signed(mapping('nix-2.0'), [nixosKey]))
  t.equal(nix.kind === 'trusted' && nix.rule, 'about nix')
  const dependent = mapping('firefox-1', output('b'))
  const refused = judgeRealisation(policy, 'nixos', asked, signed(hello, [nixosKey], [dependent]))
  t.equal(refused.kind === 'refused' && refused.path.name, 'firefox-1')
})

/* Outputs by path. */

const drv = `${hash}-nix-2.0.drv`
const nixOut = must(parseDrvOutputFile(`build-trace-v2/${drv}/out.doi`))
const nixDev = must(parseDrvOutputFile(`build-trace-v2/${drv}/dev.doi`))
const traces: Readonly<Record<string, Row & { readonly asked: DrvOutput }>> = {
  'a build trace of the output': {
    asked: nixOut,
    realisation: signed(mapping('nix-2.0', nixOut), [nixosKey]),
    is: 'trusted',
  },
  'a build trace of another output': {
    asked: nixDev,
    realisation: signed(mapping('nix-2.0-dev', nixDev), [nixosKey]),
    is: 'trusted',
  },
  'a build trace that gives an output a harmless name': {
    from: 'acme',
    asked: nixOut,
    realisation: signed(mapping('harmless-2.0', nixOut), [acmeKey]),
    is: 'wrong-name',
  },
  "a build trace with another output's name": {
    asked: nixDev,
    realisation: signed(mapping('nix-2.0', nixDev), [nixosKey]),
    is: 'wrong-name',
  },
  'a build trace from an upstream that the rule does not name': {
    from: 'acme',
    asked: nixOut,
    realisation: signed(mapping('nix-2.0', nixOut), [acmeKey]),
    is: 'upstream-not-allowed',
  },
  'a build trace of a blocked derivation': {
    asked: nixOut,
    realisation: signed(mapping('nix-2.0', nixOut), [nixosKey]),
    policy: blocked({ kind: 'path', baseName: drv }),
    is: 'blocked',
  },
  'an unsigned build trace': {
    asked: nixOut,
    realisation: signed(mapping('nix-2.0', nixOut), []),
    is: 'no-trusted-signature',
  },
}
for (const [what, row] of Object.entries(traces)) {
  t.test(`${what}: ${row.is}`, async (t) => {
    const { from = 'nixos', realisation } = row
    const verdict = judgeRealisation({ ...policy, ...row.policy }, from, row.asked, realisation)
    t.equal(verdict.kind === 'refused' ? verdict.reason : verdict.kind, row.is)
  })
}
