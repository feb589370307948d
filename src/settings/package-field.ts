import { packageSets } from '../policy/critical.ts'
import { packageOf } from '../policy/package-name.ts'
import { quoteName } from './describe-found.ts'
import { explainedField, type Reading } from './fields.ts'

/** What may stand in the names of store paths: https://nix.dev/manual/nix/latest/store/store-path */
const NAME = /^[0-9a-zA-Z+._?=-]{1,211}$/

const PACKAGE_ALLOWED = 'a package: the name of a store path up to its version, such as "openssl"'

/** A package, which is literal and case-sensitive; `sets` says whether one such as `@critical` may stand for its packages. */
export function packageField({ sets }: { readonly sets: boolean }) {
  const known = sets ? [...packageSets.keys()] : []
  const allowed = sets
    ? `${PACKAGE_ALLOWED}, or a set of them: ${known.join(', ')}`
    : PACKAGE_ALLOWED
  return explainedField(allowed, (text): Reading<string> => {
    if (known.includes(text)) return { kind: 'value', value: text }
    const mistake = findMistake(text)
    return mistake === null
      ? { kind: 'value', value: text }
      : { kind: 'mistake', found: mistake.found, allowed: mistake.allowed ?? allowed }
  })
}

function findMistake(
  text: string,
): { readonly found: string; readonly allowed: string | null } | null {
  const shown = quoteName(text)
  if (text.includes('*')) {
    const allowed = 'a package as it is, such as "openssl"; globs belong into paths'
    return { found: `${shown}, which is a glob`, allowed }
  }
  if (text.startsWith('@')) return { found: `${shown}, which is no set of packages`, allowed: null }
  if (!NAME.test(text)) return { found: shown, allowed: null }
  const own = packageOf(text)
  if (own === text) return null
  const found = own === '' ? 'has no package' : `is of the package "${own}"`
  return { found: `${shown}, which ${found}`, allowed: own === '' ? null : `"${own}"` }
}
