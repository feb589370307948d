import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatPublicKey, parsePublicKey, type PublicKey } from '../../src/nix/signature.ts'
import { packageSets } from '../../src/policy/critical.ts'
import { ruleFor } from '../../src/policy/rule.ts'
import { loadSettings } from '../../src/settings/load-settings.ts'
import { checkOwnKey } from '../../src/settings/own-key.ts'
import { type Environment } from '../../src/settings/read-environment.ts'
import { formatSettingsError, SettingsError } from '../../src/settings/settings-error.ts'

const DOCUMENTATION = join(import.meta.dirname, '../../docs/configuration.md')
const EXAMPLE = join(import.meta.dirname, '../../config/weir.policy.toml')

/** A key of its own for each letter. */
function keyText(name: string, letter: string): string {
  return `${name}:${letter.repeat(42)}A=`
}

function key(name: string, letter: string): PublicKey {
  const parsed = parsePublicKey(keyText(name, letter))
  if (parsed === null) throw new Error('not a key')
  return parsed
}

function upstream(name: string, ...lines: readonly string[]): string {
  const url = `url = "https://${name}.example"`
  return ['[[upstream]]', `name = "${name}"`, url, ...lines, ''].join('\n')
}

/** `a` and `b` have a key each; twelve lines, so that a rule behind them begins at the thirteenth. */
const UPSTREAMS = `${upstream('a', `keys = ["${keyText('a-1', 'a')}"]`, '')}${upstream('b', `keys = ["${keyText('b-1', 'b')}"]`, '')}`

function rule(name: string, ...lines: readonly string[]): string {
  return ['[[rule]]', `name = "${name}"`, ...lines, ''].join('\n')
}

async function load(t: Test, text: string, env: Environment = {}) {
  const configFile = join(t.testdir({ 'weir.toml': text }), 'weir.toml')
  return loadSettings({ env, configFile, homeDir: '/home/ada', cores: 4 })
}

/** What is wrong with a file's text, with the file's path as FILE. */
async function explain(t: Test, text: string, env: Environment = {}): Promise<string> {
  try {
    await load(t, text, env)
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    return formatSettingsError(error).replaceAll(join(t.testdirName, 'weir.toml'), 'FILE')
  }
  throw new Error(`the configuration was accepted: ${text}`)
}

t.test('the example of a policy loads, without warnings, as what it says', async (t) => {
  const options = { env: {}, configFile: EXAMPLE, homeDir: '/home/ada', cores: 4 }
  const { settings, warnings } = await loadSettings(options)
  t.strictSame(warnings, [])
  t.strictSame(
    settings.upstreams.map(({ name, tier, private: isPrivate, optional }) => [
      ...[name, tier, isPrivate, optional],
    ]),
    [
      ['nixos', 0, false, false],
      ['acme', 0, true, false],
      ['community', 1, false, true],
    ],
  )
  const [root, own, browsers] = settings.rules
  t.strictSame(root?.packages, new Set(packageSets.get('@critical')), 'a set is taken apart')
  t.strictSame(root?.signedBy?.map(formatPublicKey), [
    'cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=',
  ])
  t.strictSame([own?.packages, own?.paths, own?.from], [new Set(), ['acme-*'], ['acme']])
  t.strictSame([own?.signedBy, own?.agree, own?.onDivergence], [null, 1, 'serve'])
  t.strictSame([browsers?.from, browsers?.agree], [['nixos', 'community'], 2])
  t.equal(ruleFor(settings.rules, 'openssl-3.0.14'), root)
  t.equal(ruleFor(settings.rules, 'acme-openssl-3.0.14'), own)
  t.equal(ruleFor(settings.rules, 'firefox-unwrapped-127.0'), null, 'packages are literal')
  t.match(await readFile(EXAMPLE, 'utf8'), '#:schema ./weir.schema.json\n')
})

t.test('the examples in the documentation load', async (t) => {
  const text = await readFile(DOCUMENTATION, 'utf8')
  const examples = [...text.matchAll(/```toml\n(.*?)```/gs)].map(([, toml = '']) => toml)
  t.equal(examples.length, 4)
  for (const example of examples) await t.resolves(load(t, example))
})

t.test('each mistake in a rule has its own words, its place and its name', async (t) => {
  const keys = 'Allowed: "a-1", "b-1".'
  const sets = 'Allowed: a package: the name of a store path up to its version, such as "openssl"'
  const cases: readonly (readonly [readonly string[], string])[] = [
    [
      ['packages = ["nix", "nix-2.18.1"]'],
      'FILE, line 13, rule[0].packages[1]: found "nix-2.18.1", which is of the package "nix", in the rule "R".\n  Allowed: "nix".',
    ],
    [
      ['packages = ["nix-*"]'],
      'packages[0]: found "nix-*", which is a glob, in the rule "R".\n  Allowed: a package as it is, such as "openssl"; globs belong into paths.',
    ],
    [
      ['packages = ["@crtical"]'],
      `packages[0]: found "@crtical", which is no set of packages, in the rule "R".\n  ${sets}, or a set of them: @critical.`,
    ],
    [['packages = ["-1.0"]'], 'packages[0]: found "-1.0", which has no package, in the rule "R".'],
    [['packages = ["a b"]'], `packages[0]: found "a b", in the rule "R".\n  ${sets}`],
    [
      ['paths = ["a[bc]"]'],
      'rule[0].paths[0]: found "a[bc]", in the rule "R".\n  Allowed: a glob over whole names of store paths, such as "acme-*"',
    ],
    [
      ['packages = ["nix"]', 'from = ["a", "bb"]'],
      'FILE, line 14, rule[0].from[1]: found "bb", which is no upstream, in the rule "R".\n  Did you mean "b"? Allowed: "a", "b", "import".',
    ],
    [
      ['packages = ["nix"]', 'from = ["a", "a"]'],
      'rule[0].from[1]: found "a" for the second time, in the rule "R".',
    ],
    [['packages = ["nix"]', 'from = []'], 'rule[0].from: found an empty list, in the rule "R".'],
    [
      ['packages = ["nix"]', 'signed_by = ["a-1", "a-2"]'],
      `line 14, rule[0].signed_by[1]: found "a-2", a key that no upstream has, in the rule "R".\n  Did you mean "a-1"? ${keys}`,
    ],
    [
      ['packages = ["nix"]', `signed_by = ["${keyText('a-1', 'a')}"]`],
      'signed_by[0]: found "a-1:…", which is more than a name, in the rule "R".\n  Allowed: the name of a key, such as "cache.nixos.org-1", without its bytes.',
    ],
    [['packages = ["nix"]', 'signed_by = []'], 'rule[0].signed_by: found an empty list'],
    [
      ['from = ["a"]'],
      'FILE, line 11, rule[0]: found neither packages nor paths, in the rule "R".\n  Allowed: at least one entry of packages or paths; for every path, paths = ["*"].',
    ],
    [['packages = ["nix"]', 'agree = 0'], 'agree: found 0, in the rule "R".\n  Allowed: a whole'],
    [
      ['packages = ["nix"]', 'on_divergence = "deny"'],
      'on_divergence: found "deny", in the rule "R".\n  Allowed: "serve", "refuse".',
    ],
    [
      ['package = ["nix"]'],
      'line 13, rule[0].package: found an unknown key, in the rule "R".\n  Did you mean "packages"?',
    ],
  ]
  for (const [lines, message] of cases) {
    const explained = await explain(t, UPSTREAMS + rule('R', ...lines))
    t.ok(explained.includes(message) && !explained.includes('\n\n'), message, { explained })
  }
})

t.test('rules are named, once each, in printable characters', async (t) => {
  const twice = await explain(
    t,
    UPSTREAMS + rule('R', 'packages = ["nix"]') + rule('R', 'packages = ["lix"]'),
  )
  t.equal(
    twice,
    'FILE, line 15, rule[1].name: found "R", which is the name of rule[0].\n  Allowed: a name of its own.',
  )
  for (const name of ['', ' ', 'a\\nb', '\\u202Eevil', 'x'.repeat(201)]) {
    t.match(
      await explain(t, UPSTREAMS + rule(name, 'paths = ["*"]')),
      'rule[0].name: found "',
      name,
    )
  }
  const { settings } = await load(t, UPSTREAMS + rule('ä'.repeat(200), 'paths = ["*"]'))
  t.equal(settings.rules.length, 1)
  t.match(await explain(t, `${UPSTREAMS}[[rule]]\npaths = ["*"]`), 'rule[0].name: found nothing.')
})

t.test('agreement must be within reach: as many upstreams, with as many keys', async (t) => {
  const mirror = upstream('mirror', `keys = ["${keyText('a-1', 'a')}"]`)
  const renamed = upstream('renamed', `keys = ["${keyText('a-2', 'a')}"]`)
  const keyless = upstream('keyless')
  const imported = `[import]\nkeys = ["${keyText('i-1', 'c')}"]\n`
  const agreed = (agree: number, ...lines: string[]) =>
    rule('R', 'paths = ["x*"]', `agree = ${agree}`, ...lines)
  const cases: readonly (readonly [string, string])[] = [
    [
      UPSTREAMS + agreed(3),
      'agree: found 3, of 2 upstreams in all, in the rule "R".\n  Allowed: a whole number from 1 to 2.',
    ],
    [UPSTREAMS + agreed(2, 'from = ["a"]'), 'agree: found 2, of 1 upstream in from, in the rule'],
    [
      UPSTREAMS + mirror + agreed(3),
      'agree: found 3, where at most 2 of 3 upstreams can vouch with a key of its own',
    ],
    [
      UPSTREAMS + renamed + agreed(2, 'from = ["a", "renamed"]'),
      'found 2, where at most 1 of 2 upstreams can vouch with a key of its own, in the rule "R".\n  Allowed: 1, or further upstreams with keys of their own.',
    ],
    [UPSTREAMS + keyless + agreed(2, 'from = ["a", "keyless"]'), 'found 2, where at most 1 of 2'],
    [
      // Mirrors of each other are one, however many keys they have.
      ['x', 'y']
        .map((name) =>
          upstream(name, `keys = ["${keyText('a-1', 'a')}", "${keyText('b-1', 'b')}"]`),
        )
        .join('') + agreed(2),
      'found 2, where at most 1 of 2 upstreams can vouch',
    ],
    [UPSTREAMS + agreed(2, 'signed_by = ["a-1"]'), 'found 2, where at most 1 of 2 upstreams'],
    [
      UPSTREAMS + keyless + agreed(1, 'from = ["keyless", "import"]'),
      'rule[0].from: found only upstreams without keys, which can never vouch for a path, in the rule "R".',
    ],
  ]
  for (const [text, message] of cases) {
    const explained = await explain(t, text)
    t.ok(explained.includes(message) && !explained.includes('\n\n'), message, { explained })
  }
  const fine = [
    UPSTREAMS + agreed(2),
    UPSTREAMS + agreed(2, 'signed_by = ["a-1", "b-1"]'),
    UPSTREAMS + mirror + agreed(2, 'from = ["b", "mirror"]'),
    UPSTREAMS + keyless + agreed(1, 'from = ["a", "keyless"]'),
    UPSTREAMS + keyless + agreed(1, 'from = ["keyless"]', 'signed_by = ["a-1"]'),
    UPSTREAMS + upstream('u', 'insecure_unsigned = true') + agreed(1, 'from = ["u"]'),
    UPSTREAMS + agreed(2, 'from = ["a", "import"]') + imported,
    // Matched greedily, `both` could take the only key of `a`.
    upstream('both', `keys = ["${keyText('a-1', 'a')}", "${keyText('b-1', 'b')}"]`) +
      upstream('a', `keys = ["${keyText('a-1', 'a')}"]`) +
      agreed(2),
  ]
  for (const text of fine) t.equal((await load(t, text)).settings.rules.length, 1)
})

t.test('one key has one name everywhere, stored files and Weir included', async (t) => {
  t.equal(
    await explain(t, `${UPSTREAMS}[import]\nkeys = ["${keyText('a-1', 'c')}"]\n`),
    'FILE, line 12, import.keys[0]: found "a-1" with other bytes than in upstream[0].keys[0] (line 4).\n' +
      '  Allowed: one key for each name; find out which is genuine.',
  )
  const imported = `[import]\nkeys = ["${keyText('i-1', 'c')}"]\n`
  const { settings } = await load(t, UPSTREAMS + imported)
  t.strictSame(settings.importKeys.map(formatPublicKey), [keyText('i-1', 'c')])
  for (const own of [key('a-1', 'a'), key('weir-1', 'a'), key('i-1', 'c')]) {
    t.doesNotThrow(() => {
      checkOwnKey(settings, own)
    })
  }
  for (const [own, place] of [
    [key('b-1', 'a'), 'upstream[1].keys[0]'],
    [key('i-1', 'a'), 'import.keys[0]'],
  ] as const) {
    t.throws(
      () => {
        checkOwnKey(settings, own)
      },
      {
        code: 'invalid',
        message: `the configuration, ${place}: found "${own.name}" with other bytes than Weir's own key of that name in /home/ada/.local/state/weir/signing-key.`,
      },
    )
  }
})

t.test('report-only and upstreams of which nothing can come are warned of', async (t) => {
  const warningsOf = async (text: string) => (await load(t, text)).warnings
  t.strictSame(await warningsOf(UPSTREAMS), [])
  t.strictSame(await warningsOf(`${UPSTREAMS}${upstream('u', 'insecure_unsigned = true')}`), [
    'The upstream "u" is insecure_unsigned: its paths need no signature; Weir never signs them.',
  ])
  t.strictSame(await warningsOf(`${UPSTREAMS}[policy]\nenforce = false\n`), [
    'policy.enforce is false, report only: what the rules would refuse is served, and not signed by Weir.',
  ])
  const onlyA = rule('R', 'paths = ["*"]', 'from = ["a"]')
  const denied = '[policy]\nunmatched = "deny"\n'
  t.strictSame(await warningsOf(UPSTREAMS + onlyA), [])
  t.strictSame(await warningsOf(UPSTREAMS + onlyA + denied), [
    'The upstream "b" is allowed by no rule, and policy.unmatched is "deny": nothing is ever taken from it.',
  ])
  t.strictSame(await warningsOf(UPSTREAMS + rule('any', 'packages = ["nix"]') + denied), [])
  const imported = `[import]\nkeys = ["${keyText('i-1', 'c')}"]\n`
  t.match((await warningsOf(UPSTREAMS + onlyA + denied + imported))[1], 'The upstream "import" is')
  t.equal(
    await explain(t, `${UPSTREAMS}[policy]\nenforce = false\n[signing]\nmode = "replace"\n`),
    'FILE, line 12, policy.enforce: found false, while signing.mode is "replace".\n' +
      '  Allowed: true, or signing.mode "add" or "keep": Weir signs nothing that it only reports on.',
  )
})

t.test('variables outrank the rules of the file, and are to blame for their own', async (t) => {
  const file = UPSTREAMS + rule('R', 'paths = ["*"]') + '[policy]\nenforce = true\n'
  const WEIR_RULE = '[{"name": "E", "packages": ["nix"], "from": ["b"], "agree": 1}]'
  const { settings } = await load(t, file, { WEIR_RULE, WEIR_POLICY__ENFORCE: 'false' })
  t.strictSame(
    settings.rules.map(({ name, from }) => [name, from]),
    [['E', ['b']]],
  )
  t.equal(settings.policy.enforce, false)
  t.match(
    await explain(t, file, { WEIR_RULE: WEIR_RULE.replace('"b"', '"c"') }),
    'WEIR_RULE, rule[0].from[0]: found "c", which is no upstream, in the rule "E".',
  )
  t.match(
    await explain(t, file, { WEIR_POLICY__ENFORCE: 'no' }),
    'WEIR_POLICY__ENFORCE, policy.enforce: found "no".\n  Allowed: true or false.',
  )
  t.match(await explain(t, file, { WEIR_RULE: 'x' }), 'Allowed: a JSON array such as [{"name":')
})
