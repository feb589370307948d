/**
 * What judging a claim costs, signature included: CPU time of one verdict, over policies of a few and of many rules.
 * The goal is 0.25 ms. Run: npm run bench -- judge
 */
import { formatNarinfo } from '../src/nix/format-narinfo.ts'
import { fingerprint } from '../src/nix/fingerprint.ts'
import { parseHash } from '../src/nix/hash.ts'
import type { Narinfo } from '../src/nix/narinfo.ts'
import { generateSecretKey, publicKeyOf, sign } from '../src/nix/signature.ts'
import { parseBaseName, parseStoreDir } from '../src/nix/store-path.ts'
import { readClaim } from '../src/policy/claim.ts'
import { packageSets } from '../src/policy/critical.ts'
import type { Policy } from '../src/policy/policy.ts'
import type { Rule } from '../src/policy/rule.ts'
import { judge } from '../src/policy/verdict.ts'

const rounds = 5
const claimsPerRound = 2000

const storeDir = must(parseStoreDir('/nix/store'))
const key = generateSecretKey('cache.example.org-1')

for (const [rules, references] of [
  [0, 5],
  [3, 5],
  [100, 5],
  [100, 200],
] as const) {
  const policy = policyWith(rules)
  const texts = Array.from({ length: claimsPerRound }, (_, index) => claimText(index, references))
  const costs = Array.from({ length: rounds }, () => costOf(policy, texts)).toSorted(
    (a, b) => a - b,
  )
  const median = costs[Math.floor(rounds / 2)] ?? 0
  console.log(
    `${rules} rules, ${references} references: ${median.toFixed(3)} ms of CPU a claim (${costs.map((cost) => cost.toFixed(3)).join(', ')})`,
  )
}

/** Milliseconds of CPU to judge a claim. */
function costOf(policy: Policy, texts: readonly (readonly [string, Uint8Array])[]): number {
  const claims = texts.map(([hash, text]) => {
    const reading = readClaim(policy, 'cache', must(parseBaseName(`${hash}-x`)).hash, text)
    if (reading.kind !== 'claim') throw new Error(reading.reason)
    return reading.claim
  })
  const before = process.cpuUsage()
  for (const claim of claims) {
    if (judge(policy, claim).kind !== 'trusted') throw new Error('the claim is not trusted')
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / claims.length
}

function policyWith(rules: number): Policy {
  const keys = [publicKeyOf(key)]
  return {
    epoch: '',
    choiceEpoch: '',
    storeDir,
    maxNarBytes: 2 ** 40,
    upstreams: [
      { name: 'cache', keys, ...{ optional: false, tier: 0, private: false } },
      { name: 'other', keys: [], ...{ optional: false, tier: 0, private: false } },
    ].map((upstream) => ({ ...upstream, insecureUnsigned: false, equivalent: null })),
    suspended: new Set(),
    rules: Array.from({ length: rules }, (_, index) => ruleNumber(index)),
    unmatched: 'allow',
    enforce: true,
    blocks: Array.from({ length: rules }, (_, index) => ({
      blocked: { kind: 'package', package: `bad-${index}`, versions: null },
      reason: 'bench',
    })),
  }
}

function ruleNumber(index: number): Rule {
  return {
    name: `rule ${index}`,
    packages: new Set(index === 0 ? packageSets.get('@critical') : []),
    paths: [`team-${index}-*`, `*-internal-${index}`],
    ...{ from: ['other'], signedBy: null, agree: 1, onDivergence: 'serve' },
  }
}

function claimText(index: number, references: number): readonly [string, Uint8Array] {
  const hash = String(index).padStart(32, '0')
  const narinfo: Narinfo = {
    storePath: must(parseBaseName(`${hash}-firefox-130.${index}`)),
    url: 'nar/x.nar.xz',
    compression: 'xz',
    fileHash: null,
    fileSize: null,
    narHash: must(parseHash('sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73')),
    narSize: 1_000_000n,
    references: Array.from({ length: references }, (_, at) =>
      must(parseBaseName(`${String(at).padStart(32, '1')}-library-${at}.2`)),
    ),
    deriver: null,
    signatures: [],
    malformedSignatures: [],
    ca: null,
    unknownFields: [],
  }
  const signatures = [sign(key, fingerprint(narinfo, storeDir))]
  return [hash, Buffer.from(formatNarinfo({ ...narinfo, signatures }, storeDir))]
}

function must<T>(value: T | null): T {
  if (value === null) throw new TypeError('the bench made something malformed')
  return value
}
