/** Realisations for tests, and the policy that judges them. */
import { type Test } from 'tap'
import { type DrvOutput, parseDrvOutput, parseDrvOutputFile } from '../../src/nix/drv-output.ts'
import {
  type Mapping,
  type Realisation,
  realisationFingerprint,
} from '../../src/nix/realisation.ts'
import { publicKeyOf, type SecretKey, sign } from '../../src/nix/signature.ts'
import type { Blocked } from '../../src/policy/block.ts'
import { judgeRealisation } from '../../src/policy/judge-realisation.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { Rule } from '../../src/policy/rule.ts'
import { must, path } from '../nix/fixtures.ts'
import { acmeKey, nixosKey, policy as base, rule, auditKey, upstream } from './policies.ts'

export const about = (packageName: string, changes: Partial<Rule>): Rule =>
  rule({ name: `about ${packageName}`, packages: new Set([packageName]), ...changes })

export const policy: Policy = {
  ...base,
  upstreams: [
    upstream('nixos', [nixosKey]),
    upstream('acme', [acmeKey]),
    upstream('open', [], { insecureUnsigned: true }),
  ],
  rules: [
    about('nix', { from: ['nixos'] }),
    about('audited', { signedBy: [publicKeyOf(auditKey)] }),
    about('firefox', { agree: 2 }),
  ],
}

export const output = (digit: string): DrvOutput =>
  must(parseDrvOutput(`sha256:${digit.repeat(64)}!out`))
export const asked = output('a')
export const hash = '05fkk8iijk1kq5cpqwnfcnh5yks8nj4m'
export const mapping = (name: string, of = asked): Mapping => ({
  output: of,
  outPath: path(`${hash}-${name}`),
})

/** The same by path: a derivation of that name, whose `out` has to have the name too. */
export const traced = (name: string): Mapping =>
  mapping(name, must(parseDrvOutputFile(`build-trace-v2/${hash}-${name}.drv/out.doi`)))

export function signed(
  about: Mapping,
  keys: readonly SecretKey[],
  dependents: readonly Mapping[] = [],
): Realisation {
  const unsigned = { ...about, dependents }
  const message = realisationFingerprint(unsigned)
  return { ...unsigned, signatures: keys.map((key) => sign(key, message)) }
}

export const blocked = (what: Blocked): Partial<Policy> => ({
  blocks: [{ blocked: what, reason: 'recalled' }],
})
export const hello = mapping('hello-1.0')
export const helloTrace = traced('hello-1.0')
/** Nobody is kept from vouching for any name, so that it does not matter which name an output has. */
export const unruled: Partial<Policy> = { rules: [] }

export const drv = `${hash}-nix-2.0.drv`
export const nixOut = must(parseDrvOutputFile(`build-trace-v2/${drv}/out.doi`))
export const nixDev = must(parseDrvOutputFile(`build-trace-v2/${drv}/dev.doi`))

export type Row = {
  /** The upstream; `nixos` unless told. */
  readonly from?: string
  /** The output that is asked for; the realisation's own unless told. */
  readonly asked?: DrvOutput
  readonly realisation: Realisation
  readonly policy?: Partial<Policy>
  /** `trusted`, or why it is refused. */
  readonly is: string
}

/** A test for each row, titled by what it is and what is decided of it. */
export function testRows(t: Pick<Test, 'test'>, rows: Readonly<Record<string, Row>>): void {
  for (const [what, row] of Object.entries(rows)) {
    t.test(`${what}: ${row.is}`, async (t) => {
      const { from = 'nixos', realisation } = row
      const { asked = realisation.output } = row
      const verdict = judgeRealisation({ ...policy, ...row.policy }, from, asked, realisation)
      t.equal(verdict.kind === 'refused' ? verdict.reason : verdict.kind, row.is)
    })
  }
}
