import { packageOf } from '../policy/package-name.ts'
import { coversGlob } from './covers-glob.ts'
import { type WrittenRule } from './rule-schema.ts'
import { packagesOf } from './to-rule.ts'

/** The part of a rule that says for which names it is. */
export type RuleEntries = Pick<WrittenRule, 'packages' | 'paths'>

/** An entry of a rule that never decides anything, since earlier rules take all of its names. */
export type TakenEntry = {
  readonly list: 'packages' | 'paths'
  readonly position: number
  /** The places of the earlier rules among the rules, from 0. */
  readonly by: readonly number[]
}

/**
 * For each rule its entries that earlier rules take. Sound, not complete: an entry may be taken by several globs that
 * none of them covers alone.
 */
export function takenEntries(rules: readonly RuleEntries[]): readonly (readonly TakenEntry[])[] {
  const names = rules.map(({ packages, paths }) => ({
    packages: new Set(packages.flatMap((entry) => packagesOf(entry))),
    paths,
  }))
  return rules.map(({ packages, paths }, index) => {
    const earlier = names.slice(0, index)
    const ofPackages = packages.map((entry, position) => ({
      ...{ list: 'packages' as const, position },
      by: takersOf(packagesOf(entry), (name) => earlier.findIndex(takesPackage(name))),
    }))
    const ofPaths = paths.map((glob, position) => ({
      ...{ list: 'paths' as const, position },
      by: takersOf([glob], () => earlier.findIndex(takesGlob(glob))),
    }))
    return [...ofPackages, ...ofPaths].filter(({ by }) => by.length > 0)
  })
}

/** The rules that take all of these, each named once; none where one of these is left. */
function takersOf(parts: readonly string[], takerOf: (part: string) => number): readonly number[] {
  const takers = parts.map((part) => takerOf(part))
  return takers.includes(-1) ? [] : [...new Set(takers)]
}

type Names = { readonly packages: ReadonlySet<string>; readonly paths: readonly string[] }

/** The names of a package all begin with it. */
function takesPackage(name: string): (rule: Names) => boolean {
  return ({ packages, paths }) =>
    packages.has(name) || paths.some((glob) => coversGlob(glob, `${name}*`))
}

function takesGlob(glob: string): (rule: Names) => boolean {
  const only = packageOfAll(glob)
  return ({ packages, paths }) =>
    (only !== null && packages.has(only)) || paths.some((other) => coversGlob(other, glob))
}

/** The package of every name that a glob matches; null where there may be several. */
function packageOfAll(glob: string): string | null {
  const wildcard = glob.search(/[*?]/)
  if (wildcard === -1) return packageOf(glob)
  // A full stop may belong to a trailing ".drv", which is no part of the version.
  const split = /-[^a-zA-Z]/.exec(glob.slice(0, wildcard))
  return split === null || split[0] === '-.' ? null : glob.slice(0, split.index)
}
