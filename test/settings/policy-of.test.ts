import t from 'tap'
import { formatPublicKey, parsePublicKey, type PublicKey } from '../../src/nix/signature.ts'
import { type Block } from '../../src/policy/block.ts'
import { type Rule } from '../../src/policy/rule.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import { policyOf, type PolicyState } from '../../src/settings/policy-of.ts'
import { type Settings } from '../../src/settings/settings.ts'

const NO_STATE: PolicyState = { blocks: [], suspended: new Set() }

const RECALL: Block = {
  blocked: { kind: 'package', package: 'xz', versions: ['5.6.0'] },
  reason: 'CVE-2024-3094',
}

const RULE: Rule = {
  name: 'R',
  packages: new Set(['nix', 'lix']),
  paths: ['acme-*'],
  from: ['nixos'],
  signedBy: [key('k-1', 'a')],
  agree: 1,
  onDivergence: 'serve',
}

function key(name: string, letter: string): PublicKey {
  const parsed = parsePublicKey(`${name}:${letter.repeat(42)}A=`)
  if (parsed === null) throw new Error('not a key')
  return parsed
}

async function settingsWith(changes: Partial<Settings> = {}): Promise<Settings> {
  const { settings } = await loadSettings({ env: {}, homeDir: '/home/ada', cores: 4 })
  return { ...settings, rules: [RULE], blocks: [RECALL], ...changes }
}

t.test('the policy has the upstreams in order, and import as the last of them', async (t) => {
  const settings = await settingsWith({ importKeys: [key('i-1', 'b')] })
  const other: Block = { blocked: { kind: 'hash', hash: '0'.repeat(32) }, reason: 'r' }
  const suspended = new Set(['nixos'])
  const policy = policyOf(settings, { blocks: [other], suspended })
  t.strictSame(
    policy.upstreams.map((each) => ({ ...each, keys: each.keys.map(formatPublicKey) })),
    [
      {
        name: 'nixos',
        keys: ['cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY='],
        optional: false,
        tier: 0,
        private: false,
        insecureUnsigned: false,
        equivalent: null,
      },
      {
        name: 'import',
        keys: [formatPublicKey(key('i-1', 'b'))],
        optional: true,
        tier: 0,
        private: false,
        insecureUnsigned: false,
        equivalent: null,
      },
    ],
  )
  t.strictSame(policy.blocks, [RECALL, other], "the file's before those that Weir keeps")
  t.equal(policy.suspended, suspended)
  t.equal(policy.rules, settings.rules)
  t.equal(policy.storeDir, '/nix/store')
  t.equal(policy.maxNarBytes, 64 * 1024 ** 3)
  t.strictSame([policy.unmatched, policy.enforce], ['allow', true])
})

t.test('equal policies have equal epochs, however they were put together', async (t) => {
  const { epoch } = policyOf(await settingsWith(), NO_STATE)
  t.match(epoch, /^[0-9a-f]{16}$/)
  const reordered: Rule = { ...RULE, packages: new Set(['lix', 'nix']), name: 'R' }
  const { reason, blocked } = RECALL
  const same: Partial<Settings> = { rules: [reordered], blocks: [{ reason, blocked }] }
  t.equal(policyOf(await settingsWith(same), NO_STATE).epoch, epoch)
  const kept = await settingsWith({ blocks: [] })
  t.equal(
    policyOf(kept, { ...NO_STATE, blocks: [RECALL] }).epoch,
    epoch,
    'wherever a block is kept',
  )
  const { server, log } = kept
  const elsewhere = { server: { ...server, priority: 1 }, log: { ...log, level: 'debug' as const } }
  t.equal(policyOf(await settingsWith(elsewhere), NO_STATE).epoch, epoch, 'nothing else matters')
  const two = (...names: string[]) => ({ blocks: [], suspended: new Set(names) })
  t.equal(
    policyOf(kept, two('a', 'b')).epoch,
    policyOf(kept, two('b', 'a')).epoch,
    'sets have no order',
  )
})

t.test('whatever a verdict depends on makes a new epoch', async (t) => {
  const base = await settingsWith()
  const [nixos] = base.upstreams
  if (nixos === undefined) throw new Error('no upstream')
  const upstream = (changes: Partial<typeof nixos>) => ({ upstreams: [{ ...nixos, ...changes }] })
  const rule = (changes: Partial<Rule>) => ({ rules: [{ ...RULE, ...changes }] })
  const changes: readonly Partial<Settings>[] = [
    {},
    { policy: { ...base.policy, enforce: false } },
    { policy: { ...base.policy, unmatched: 'deny' } },
    { nar: { ...base.nar, maxNarBytes: 1 } },
    { importKeys: [key('i-1', 'b')] },
    { blocks: [] },
    { blocks: [{ ...RECALL, reason: 'another' }] },
    { blocks: [{ ...RECALL, blocked: { kind: 'key', key: key('k-1', 'a') } }] },
    { blocks: [{ ...RECALL, blocked: { kind: 'key', key: key('k-1', 'b') } }] },
    { rules: [] },
    rule({ name: 'S' }),
    rule({ packages: new Set(['nix']) }),
    rule({ paths: [] }),
    rule({ from: null }),
    rule({ signedBy: null }),
    rule({ signedBy: [key('k-1', 'b')] }),
    rule({ signedBy: [key('k-2', 'a')] }),
    rule({ agree: 2 }),
    rule({ onDivergence: 'refuse' }),
    upstream({ name: 'other' }),
    upstream({ keys: [key('k-1', 'a')] }),
    upstream({ optional: true }),
    upstream({ tier: 1 }),
    upstream({ private: true }),
    upstream({ insecureUnsigned: true }),
    upstream({ equivalent: 'g' }),
    { upstreams: [nixos, { ...nixos, name: 'second' }] },
    { upstreams: [{ ...nixos, name: 'second' }, nixos] },
  ]
  const epochs = changes.map((change) => policyOf({ ...base, ...change }, NO_STATE).epoch)
  epochs.push(policyOf(base, { ...NO_STATE, suspended: new Set(['nixos']) }).epoch)
  t.equal(new Set(epochs).size, epochs.length)
})
