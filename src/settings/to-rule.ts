import { type PublicKey } from '../nix/signature.ts'
import { packageSets } from '../policy/critical.ts'
import { type Rule } from '../policy/rule.ts'
import { type WrittenRule } from './rule-schema.ts'

/** The rule that was written, for keys by their names; names that there are no keys of are left out. */
export function toRule(written: WrittenRule, keys: ReadonlyMap<string, PublicKey>): Rule {
  const { name, packages, paths, from = null, signed_by: signedBy = null, agree } = written
  return {
    name,
    packages: new Set(packages.flatMap((entry) => packagesOf(entry))),
    paths,
    from,
    signedBy: signedBy?.flatMap((keyName) => keys.get(keyName) ?? []) ?? null,
    agree,
    onDivergence: written.on_divergence,
  }
}

/** The packages that an entry stands for: those of a set, or itself. */
export function packagesOf(entry: string): readonly string[] {
  return packageSets.get(entry) ?? [entry]
}
