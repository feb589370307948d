import fc from 'fast-check'
import t from 'tap'
import { ruleMatches } from '../../src/policy/rule.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import { SettingsError } from '../../src/settings/settings-error.ts'
import { type RuleEntries, takenEntries } from '../../src/settings/shadowed-rules.ts'
import { toRule } from '../../src/settings/to-rule.ts'

const SEED = 20_240_613

function ofPackages(...packages: readonly string[]): RuleEntries {
  return { packages: [...packages], paths: [] }
}

function ofPaths(...paths: readonly string[]): RuleEntries {
  return { packages: [], paths: [...paths] }
}

/** The last rule's entries that the others take, as `packages[0]`. */
function taken(...rules: readonly RuleEntries[]): readonly string[] {
  return (
    takenEntries(rules)
      .at(-1)
      ?.map(({ list, position }) => `${list}[${position}]`) ?? []
  )
}

async function load(rules: readonly (RuleEntries & { readonly name?: string })[]) {
  const named = rules.map((rule, index) => ({ name: `rule ${index}`, ...rule }))
  const env = { WEIR_RULE: JSON.stringify(named) }
  return loadSettings({ env, homeDir: '/home/ada', cores: 4 })
}

t.test('an entry is taken where an earlier rule has all of its names', (t) => {
  const all: readonly (readonly [RuleEntries, RuleEntries])[] = [
    [ofPackages('nix'), ofPackages('nix')],
    [ofPackages('@critical'), ofPackages('openssl')],
    [ofPaths('*'), ofPackages('nix')],
    [ofPaths('*'), ofPaths('?')],
    [ofPaths('ni*'), ofPackages('nix')],
    [ofPaths('nix*'), ofPackages('nix')],
    [ofPaths('*ix*'), ofPackages('nix-store')],
    [ofPaths('a*'), ofPaths('a*')],
    [ofPaths('a*'), ofPaths('a*b')],
    [ofPaths('a?c'), ofPaths('abc')],
    [ofPaths('*b*'), ofPaths('a?b?*c')],
    [ofPaths('*?'), ofPaths('?*')],
    [ofPaths('a**b'), ofPaths('a*b')],
    [ofPackages('nix'), ofPaths('nix-2*')],
    [ofPackages('nix'), ofPaths('nix-2.18')],
  ]
  for (const [earlier, later] of all) {
    t.equal(taken(earlier, later).length, 1, JSON.stringify([earlier, later]))
  }
  t.strictSame(taken(ofPackages('a'), ofPaths('x*'), { packages: ['b', 'a'], paths: ['xy'] }), [
    'packages[1]',
    'paths[0]',
  ])
  t.end()
})

t.test('an entry of which earlier rules leave a name is not taken', (t) => {
  const left: readonly (readonly [RuleEntries, RuleEntries])[] = [
    [ofPackages('nix'), ofPackages('nix-store')],
    [ofPackages('nix'), ofPackages('Nix')],
    [ofPackages('openssl'), ofPackages('@critical')],
    [ofPaths('nix-*'), ofPackages('nix')],
    [ofPaths('nix'), ofPackages('nix')],
    [ofPaths('nix?*'), ofPackages('nix')],
    [ofPaths('*x'), ofPackages('nix')],
    [ofPaths('a?'), ofPaths('a*')],
    [ofPaths('?'), ofPaths('*')],
    [ofPaths('ab*'), ofPaths('a?*')],
    [ofPaths('a*b'), ofPaths('a*')],
    [ofPackages('nix'), ofPaths('nix*')],
    [ofPackages('nix'), ofPaths('nix-*')],
    // "foo-.drv" is of the package "foo-".
    [ofPackages('foo'), ofPaths('foo-.*')],
  ]
  for (const [earlier, later] of left) {
    t.strictSame(taken(earlier, later), [], JSON.stringify([earlier, later]))
  }
  t.strictSame(taken(ofPaths('*'), ofPackages('a'), ofPaths('*')), ['paths[0]'])
  t.strictSame(takenEntries([ofPaths('*')]), [[]], 'the first rule has none before it')
  t.end()
})

t.test('a rule that can never match is an error that names those before it', async (t) => {
  const error: unknown = await load([
    { ...ofPackages('nix'), name: 'A' },
    { ...ofPaths('x*'), name: 'B' },
    { packages: ['nix'], paths: ['xy?'], name: 'C' },
  ]).catch((thrown: unknown) => thrown)
  t.ok(error instanceof SettingsError)
  t.equal(
    error instanceof SettingsError && error.message,
    'WEIR_RULE, rule[2]: found nothing that earlier rules leave to it (rule[0] "A", rule[1] "B"), in the rule "C".\n' +
      '  Allowed: a rule that can match: before those, or for other names.',
  )
})

t.test('a rule of which a part is taken is a warning that names both', async (t) => {
  const { warnings } = await load([
    { ...ofPackages('@critical'), name: 'A' },
    { packages: ['firefox', 'openssl'], paths: ['glibc-2*'], name: 'B' },
  ])
  t.strictSame(warnings, [
    'The rule "B" never decides for packages[1] "openssl": earlier rules do, "A".',
    'The rule "B" never decides for paths[0] "glibc-2*": earlier rules do, "A".',
  ])
  const narrower = await load([ofPackages('openssl'), ofPackages('@critical')])
  t.strictSame(narrower.warnings, [], 'a part of a set may be decided before the set')
})

t.test('whatever is said to be taken is taken: no name of it is left', (t) => {
  const letters = fc.constantFrom('a', 'b', '-', '1', '.', '?')
  const text = (unit: fc.Arbitrary<string>, maxLength: number) =>
    fc.array(unit, { minLength: 1, maxLength }).map((parts) => parts.join(''))
  const anyGlob = text(fc.constantFrom('a', 'b', '-', '1', '?', '*', '.drv'), 5)
  const glob = fc.oneof(anyGlob, fc.constantFrom('a-1*', 'a-.*', 'ab--?*', 'a-b', 'a.drv'))
  const packages = fc.array(fc.constantFrom('a', 'b', 'ab', 'a-b', 'a-', 'a?', 'ab-a'), {
    maxLength: 2,
  })
  const rules = fc.array(fc.record({ packages, paths: fc.array(glob, { maxLength: 2 }) }), {
    minLength: 2,
    maxLength: 4,
  })
  const ending = fc.constantFrom('', '.drv', '-1', '-.drv', '-1.drv')
  const name = fc.tuple(text(letters, 6), ending).map((parts) => parts.join(''))
  let takenCount = 0
  const property = fc.property(
    rules,
    fc.array(name, { minLength: 20, maxLength: 60 }),
    (written, names) => {
      const whole = written.map((entries) => readRule(entries))
      for (const [index, entries] of takenEntries(written).entries()) {
        for (const { list, position, by } of entries) {
          takenCount += 1
          const entry = written[index]?.[list][position] ?? ''
          const alone = readRule(list === 'paths' ? ofPaths(entry) : ofPackages(entry))
          const takers = by.map((place) => whole[place])
          if (by.some((place) => place >= index)) return false
          // Names that are near the entry, besides any.
          const near = ['', 'a', '-', '1', '-1', 'drv', '.drv', '-1.drv', '-.drv'].flatMap(
            (end) => [
              entry.replaceAll('*', end).replaceAll('?', 'b'),
              `${entry}${end}`.replaceAll('*', 'b1'),
            ],
          )
          for (const one of [...names, ...near]) {
            const left = !takers.some((taker) => taker !== undefined && ruleMatches(taker, one))
            if (one !== '' && ruleMatches(alone, one) && left) return false
          }
        }
      }
      return true
    },
  )
  fc.assert(property, { seed: SEED, numRuns: 3000 })
  t.ok(takenCount > 500, `${takenCount} entries were taken`)
  t.end()
})

function readRule({ packages, paths }: RuleEntries) {
  const rest = { name: '', from: undefined, signed_by: undefined, agree: 1 }
  return toRule({ ...rest, packages, paths, on_divergence: 'serve' }, new Map())
}
