import t from 'tap'
import { publicKeyOf } from '../../src/nix/signature.ts'
import { acmeKey, auditKey, nixosKey } from './policies.ts'
import {
  about,
  blocked,
  drv,
  hello,
  helloTrace,
  mapping,
  nixDev,
  nixOut,
  type Row,
  signed,
  testRows,
  unruled,
} from './realisation-rows.ts'

const byHash: Readonly<Record<string, Row>> = {
  /* Outputs by hash: which name they have to have, nobody knows. */
  'an output by hash, beside a rule that keeps its upstream from some names': {
    from: 'acme',
    realisation: signed(hello, [acmeKey]),
    policy: { rules: [about('nix', { from: ['nixos'] })] },
    is: 'name-not-known',
  },
  'an output by hash, beside a rule that names its upstream among others': {
    realisation: signed(hello, [nixosKey]),
    policy: { rules: [about('nix', { from: ['acme', 'nixos'] })] },
    is: 'trusted',
  },
  'an output by hash, beside a rule that wants another key for some names': {
    realisation: signed(hello, [nixosKey]),
    policy: { rules: [about('audited', { signedBy: [publicKeyOf(auditKey)] })] },
    is: 'name-not-known',
  },
  'an output by hash, beside a rule that wants its own key': {
    realisation: signed(hello, [nixosKey]),
    policy: { rules: [about('audited', { signedBy: [publicKeyOf(nixosKey)] })] },
    is: 'trusted',
  },
  'an output by hash of a name that only another key may vouch for': {
    realisation: signed(mapping('audited-1'), [auditKey]),
    is: 'name-not-known',
  },
  'an output by hash, beside a rule that wants agreement for some names': {
    realisation: signed(hello, [nixosKey]),
    policy: { rules: [about('firefox', { agree: 2 })] },
    is: 'name-not-known',
  },
  'an output by hash of a name that a rule allows, where what none matches is denied': {
    realisation: signed(mapping('nix-2.0'), [nixosKey]),
    policy: { rules: [about('nix', { from: ['nixos'] })], unmatched: 'deny' },
    is: 'name-not-known',
  },
  'an output by hash, beside a rule that keeps nobody from anything': {
    realisation: signed(hello, [nixosKey]),
    policy: { rules: [about('nix', { onDivergence: 'refuse' })] },
    is: 'trusted',
  },
  'a dependent by hash of an output by path': {
    realisation: signed(helloTrace, [nixosKey], [hello]),
    is: 'name-not-known',
  },
  'a dependent by hash, where nobody is kept from any name': {
    realisation: signed(helloTrace, [nixosKey], [hello]),
    policy: unruled,
    is: 'trusted',
  },
}

const byPath: Readonly<Record<string, Row>> = {
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

testRows(t, byHash)
testRows(t, byPath)
