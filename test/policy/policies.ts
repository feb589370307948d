/** Policies for tests: three upstreams without rules, unless told otherwise. */
import nacl from 'tweetnacl'
import { encodeBase64 } from '../../src/nix/base64.ts'
import { parseSecretKey, publicKeyOf, type SecretKey } from '../../src/nix/signature.ts'
import type { Blocked } from '../../src/policy/block.ts'
import type { Policy, PolicyUpstream } from '../../src/policy/policy.ts'
import type { Rule } from '../../src/policy/rule.ts'
import { must, storeDir } from '../nix/fixtures.ts'

export const maxNarBytes = 1_000_000

/** The same key at each run: its seed is 32 times that byte. */
export const secretKey = (name: string, byte: number): SecretKey => {
  const { secretKey } = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(byte))
  return must(parseSecretKey(`${name}:${encodeBase64(secretKey)}`))
}

/* One key of each upstream, one that both hold, and two that nobody holds. */
export const nixosKey = secretKey('nixos-1', 1)
export const acmeKey = secretKey('acme-1', 2)
export const sharedKey = secretKey('shared-1', 3)
export const strangerKey = secretKey('stranger-1', 4)
export const impostorKey = secretKey('nixos-1', 5)

/** One that some rule names, and no upstream of `policy` holds. */
export const auditKey = secretKey('audit-1', 9)

export const upstream = (
  name: string,
  keys: readonly SecretKey[],
  changes: Partial<PolicyUpstream> = {},
): PolicyUpstream => ({
  name,
  keys: keys.map(publicKeyOf),
  optional: false,
  tier: 0,
  private: false,
  insecureUnsigned: false,
  equivalent: null,
  ...changes,
})

/** A rule for every name, unless told which. */
export const rule = (changes: Partial<Rule> = {}): Rule => ({
  name: 'the rule',
  packages: new Set(),
  paths: changes.packages === undefined ? ['*'] : [],
  from: null,
  signedBy: null,
  agree: 1,
  onDivergence: 'serve',
  ...changes,
})

export const policy: Policy = {
  choiceEpoch: 'choice-1',
  epoch: 'of tests',
  storeDir,
  maxNarBytes,
  upstreams: [
    upstream('nixos', [nixosKey, sharedKey]),
    upstream('acme', [acmeKey, sharedKey]),
    upstream('keyless', []),
  ],
  suspended: new Set(),
  rules: [],
  unmatched: 'allow',
  enforce: true,
  blocks: [],
}

export const blocking = (...blocked: readonly Blocked[]): Partial<Policy> => ({
  blocks: blocked.map((what) => ({ blocked: what, reason: 'recalled' })),
})
