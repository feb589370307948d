import { checkAgreement } from './agreement-check.ts'
import { type Conflict } from './conflict.ts'
import { quoteName } from './describe-found.ts'
import { keysByName } from './key-checks.ts'
import { type KeyPath } from './key-path.ts'
import { nearestName } from './nearest-name.ts'
import { type WrittenRule } from './rule-schema.ts'
import { type SettingsDocument } from './schema.ts'
import { takenEntries } from './shadowed-rules.ts'

/** Everything that is wrong with the rules as a whole, or beside the upstreams and their keys. */
export function checkRules(document: SettingsDocument): readonly Conflict[] {
  const ofEach = document.rule.flatMap((rule, index) => [
    ...checkEntries(rule, index),
    ...checkFrom(rule, index, document),
    ...checkSignedBy(rule, index, document),
    ...checkAgreement(rule, index, document),
  ])
  return [...checkNames(document.rule), ...ofEach, ...checkReach(document.rule)]
}

function checkNames(rules: readonly WrittenRule[]): readonly Conflict[] {
  return rules.flatMap(({ name }, index) => {
    const first = rules.findIndex((rule) => rule.name === name)
    const found = `${quoteName(name)}, which is the name of rule[${first}]`
    return first === index
      ? []
      : [{ path: ['rule', index, 'name'], found, allowed: 'a name of its own' }]
  })
}

function checkEntries({ packages, paths }: WrittenRule, index: number): readonly Conflict[] {
  if (packages.length + paths.length > 0) return []
  const allowed = 'at least one entry of packages or paths; for every path, paths = ["*"]'
  return [{ path: ['rule', index], found: 'neither packages nor paths', allowed }]
}

function checkFrom(
  { from = [] }: WrittenRule,
  index: number,
  { upstream }: SettingsDocument,
): readonly Conflict[] {
  const known = [...upstream.map(({ name }) => name), 'import']
  return from.flatMap((name, position) => {
    const path = ['rule', index, 'from', position]
    if (!known.includes(name)) return [unknownName(path, name, 'which is no upstream', known)]
    const again = from.indexOf(name) < position
    const found = `${quoteName(name)} for the second time`
    return again ? [{ path, found, allowed: 'each upstream once' }] : []
  })
}

function checkSignedBy(
  { signed_by: signedBy = [] }: WrittenRule,
  index: number,
  document: SettingsDocument,
): readonly Conflict[] {
  const known = [...keysByName(document).keys()]
  return signedBy.flatMap((name, position) =>
    known.includes(name)
      ? []
      : [
          unknownName(
            ['rule', index, 'signed_by', position],
            name,
            'a key that no upstream has',
            known,
          ),
        ],
  )
}

function unknownName(
  path: KeyPath,
  name: string,
  what: string,
  known: readonly string[],
): Conflict {
  return {
    path,
    found: `${quoteName(name)}, ${what}`,
    allowed:
      known.length === 0
        ? 'nothing, as there is none'
        : known.map((one) => quoteName(one)).join(', '),
    nearest: nearestName(name, known),
  }
}

/** A rule that can never match is a mistake: its author relies on what never decides. */
function checkReach(rules: readonly WrittenRule[]): readonly Conflict[] {
  return takenEntries(rules).flatMap((taken, index) => {
    const { packages = [], paths = [] } = rules[index] ?? {}
    if (taken.length === 0 || taken.length < packages.length + paths.length) return []
    const takers = [...new Set(taken.flatMap(({ by }) => by))].map(
      (place) => `rule[${place}] ${quoteName(rules[place]?.name ?? '')}`,
    )
    const found = `nothing that earlier rules leave to it (${takers.join(', ')})`
    const allowed = 'a rule that can match: before those, or for other names'
    return [{ path: ['rule', index], found, allowed }]
  })
}
