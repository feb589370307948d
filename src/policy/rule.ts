import type { PublicKey } from '../nix/signature.ts'
import { matchesGlob } from './glob.ts'
import { packageOf } from './package-name.ts'

/** What must hold for paths of some names. */
export type Rule = {
  /** For people: in logs, explanations and headers. */
  readonly name: string
  /** The packages that it is for, sets such as `@critical` taken apart. */
  readonly packages: ReadonlySet<string>
  /** Globs over whole names. */
  readonly paths: readonly string[]
  /** The upstreams that a claim may come from, in order of preference; `null` for any, in the order of the upstreams. */
  readonly from: readonly string[] | null
  /** The keys of which one must vouch; `null` for any key of the claim's upstream. */
  readonly signedBy: readonly PublicKey[] | null
  /** How many upstreams must say the same, with as many keys; 1 for no agreement. */
  readonly agree: number
  /** What becomes of a path of which trusted claims differ. */
  readonly onDivergence: 'serve' | 'refuse'
}

/** Whether a rule asks for several upstreams to say the same, or for none to say something else. */
export function wantsAgreement({ agree, onDivergence }: Rule): boolean {
  return agree > 1 || onDivergence === 'refuse'
}

/** Whether a rule is for paths of this name. */
export function ruleMatches(rule: Rule, name: string, packageName = packageOf(name)): boolean {
  return rule.packages.has(packageName) || rule.paths.some((glob) => matchesGlob(glob, name))
}

/** The rule that decides for a name: the first that matches; `null` where none does. */
export function ruleFor(rules: readonly Rule[], name: string): Rule | null {
  const packageName = packageOf(name)
  return rules.find((rule) => ruleMatches(rule, name, packageName)) ?? null
}
