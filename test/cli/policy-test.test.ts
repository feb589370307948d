import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'smol-toml'
import { workFolder } from '../fakes/work-folder.ts'
import { spawnWeir, weir } from './run-weir.ts'

const folder = join(import.meta.dirname, '../../config')
const policyFile = join(folder, 'weir.policy.toml')
const casesFile = join(folder, 'weir.policy-test.toml')
const dir = workFolder(t)

/** Writes a file, and returns its path. */
async function write(name: string, text: string): Promise<string> {
  const file = join(dir, name)
  await writeFile(file, text)
  return file
}

/** The example of a policy with one place of it changed. */
async function weakened(name: string, from: string | RegExp, to: string): Promise<string> {
  const text = await readFile(policyFile, 'utf8')
  t.match(text, from, `there is something to change for ${name}`)
  return write(`${name}.toml`, text.replace(from, to))
}

/** Runs cases against the example of a policy. */
async function run(cases: string) {
  const file = await write('cases.toml', cases)
  const result = await weir('policy', 'test', '--config', policyFile, file)
  return { ...result, file }
}

t.test('the example of a policy passes the cases that stand beside it', async (t) => {
  const { code, stdout, stderr } = await spawnWeir(
    'policy',
    'test',
    '--config',
    policyFile,
    casesFile,
  )
  t.equal(code, 0, stdout + stderr)
  const { case: cases } = parse(await readFile(casesFile, 'utf8'))
  const number = Array.isArray(cases) ? cases.length : 0
  t.ok(number >= 10)
  t.equal(stdout.match(/^ok {6}/gm)?.length, number)
  t.match(stdout, `${number} cases for ${policyFile}: ${number} ok, 0 not ok\n`)
  t.equal(stderr, '')
})

t.test('a rule that was weakened fails its cases, and the difference is shown', async (t) => {
  const gained = await weakened('gained', 'from = ["nixos"]', 'from = ["nixos", "acme"]')
  const wider = await spawnWeir('policy', 'test', '--config', gained, casesFile)
  t.equal(wider.code, 1)
  t.match(wider.stdout, 'not ok  nor can it by handing on the official signature\n')
  t.match(
    wider.stdout,
    /expected +refused, acme: upstream-not-allowed\n +found +trusted, from acme\n/,
  )
  t.match(wider.stdout, /rule +the root of trust .*\n +from nixos, then acme; signed by cache/)
  t.match(
    wider.stdout,
    /acme +trusted: signature; cache\.nixos\.org-1: valid, and this key may vouch/,
  )
  t.match(wider.stdout, /where +\S+weir\.policy-test\.toml, line \d+\n/)

  const removed = await weakened(
    'removed',
    /\[\[rule\]\]\nname = "our own[^[]*\[[^[]*\[[^[]*\n\n/,
    '',
  )
  const without = await weir('policy', 'test', '--config', removed, casesFile)
  t.equal(without.code, 1)
  t.match(without.stdout, "not ok  nobody else can offer a path that passes for acme's\n")
  t.match(without.stdout, /found +trusted, from nixos\n +rule +none matches its name/)
  t.match(without.stdout, /expected rule +our own software is only ever ours\n/)

  const alone = await weakened('alone', 'agree = 2', 'agree = 1')
  const one = await weir('policy', 'test', '--config', alone, casesFile)
  t.equal(one.code, 1)
  t.match(one.stdout, 'not ok  one builder is not enough for a browser\n')
  t.match(one.stdout, /expected +refused, nixos: no-agreement\n +found +trusted, from nixos\n/)
  t.match(one.stdout, /15 cases .*: 12 ok, 3 not ok\n$/)
})

t.test('cases can say all that upstreams could: lies, content addresses, strangers', async (t) => {
  const hello = (rest: string) => `[[case]]\nname = "c"\npath = "hello-2.12"\n${rest}\n`
  const claims = (...texts: readonly string[]) => `claims = [{ ${texts.join(' }, { ')} }]\n`
  const community = 'upstream = "community", signed_by = ["nix-community.cachix.org-1"]'
  const cases: readonly string[] = [
    hello(
      `${claims('upstream = "nixos"')}expect = { verdict = "refused", reason = "no-trusted-signature" }`,
    ),
    hello(
      `${claims('upstream = "nixos", signed_by = ["stranger-1"]')}expect = { verdict = "refused", reason = "unknown-key" }`,
    ),
    hello(
      `${claims(community, 'upstream = "nixos", name = "nix-2.18.1", signed_by = ["cache.nixos.org-1"]')}expect = { verdict = "trusted", upstream = "nixos", rule = "the root of trust comes from the official cache alone" }`,
    ),
    hello(
      `${claims('upstream = "nixos", content_addressed = true, references = ["glibc-2.39"]')}expect = { verdict = "trusted", upstream = "nixos" }`,
    ),
    hello(
      `${claims('upstream = "nixos", content_addressed = "wrong"')}expect = { verdict = "refused", reason = "bad-content-address" }`,
    ),
    hello(
      `${claims('upstream = "nixos", content_addressed = "md5"')}expect = { verdict = "refused", reason = "weak-content-address" }`,
    ),
    hello('down = ["community"]\nexpect = { verdict = "absent" }'),
    hello('down = ["nixos"]\nexpect = { verdict = "unknown", upstream = "nixos" }'),
  ]
  for (const text of cases) {
    const { code, stdout, stderr } = await run(text)
    t.equal(code, 0, text + stdout + stderr)
  }
})

t.test('the cases in the documentation hold for the example of a policy', async (t) => {
  for (const name of ['README.md', 'docs/policy.md']) {
    const text = await readFile(join(folder, '..', name), 'utf8')
    const cases = /```toml\n((?:# cases\.toml\n)?\[\[case\]\].*?)```/s.exec(text)?.[1] ?? ''
    const { code, stdout, stderr } = await run(cases)
    t.equal(code, 0, name + stdout + stderr)
  }
})

t.test(
  'a mistake in a file of cases names file, line and key, and what may be there',
  async (t) => {
    const head = '[[case]]\nname = "c"\npath = "hello-2.12"\n'
    const absent = 'expect = { verdict = "absent" }\n'
    const mistakes: readonly (readonly [string, string])[] = [
      [
        `${head}down = ["nixoz"]\n${absent}`,
        'line 4, case[0].down[0]: found "nixoz", which is no upstream of the policy.\n  Did you mean "nixos"?',
      ],
      [
        `${head}down = ["acme"]\nclaims = [{ upstream = "acme" }]\n${absent}`,
        'case[0].down[0]: found "acme" for the second time',
      ],
      [
        `${head}expect = { verdict = "fine" }\n`,
        'line 4, case[0].expect.verdict: found "fine".\n  Allowed: "trusted", "refused", "absent", "unknown".',
      ],
      [
        `${head}expect = { verdict = "trusted", reason = "blocked" }\n`,
        'line 4, case[0].expect.reason: found a reason besides trusted',
      ],
      [
        `${head}expect = { verdict = "absent", upstream = "acme" }\n`,
        'case[0].expect.upstream: found an upstream besides absent',
      ],
      [
        `${head}claim = []\n${absent}`,
        'line 4, case[0].claim: found an unknown key.\n  Did you mean "claims"?',
      ],
      [`[[case]]\nname = "c"\npath = "a/b"\n${absent}`, 'line 3, case[0].path: found "a/b".'],
      [
        `${head}claims = [{ upstream = "acme", content_addressed = "md5", references = ["a-1"] }]\n${absent}`,
        'content_addressed: found "md5" besides references',
      ],
      [
        `${head}claims = [{ upstream = "acme", content_addressed = true }, { upstream = "nixos", content_addressed = true, nar = "b" }]\n${absent}`,
        'claims[1].content_addressed: found a content address that gives the path another hash',
      ],
      ['', 'case: found nothing'],
      ['case = 1', 'line 1, case: found 1.'],
    ]
    for (const [text, message] of mistakes) {
      const { code, stderr, stdout, file } = await run(text)
      t.equal(code, 1)
      t.equal(stdout, '', 'nothing is run')
      t.ok(stderr.includes(file) && stderr.includes(message), message, { stderr })
    }
    const none = await weir('policy', 'test', '--config', policyFile, join(dir, 'none.toml'))
    t.strictSame([none.code, none.stdout], [1, ''])
    t.match(
      none.stderr,
      `${join(dir, 'none.toml')} (named by the command line): found no such file`,
    )
  },
)

t.test('a recalled key counts for nothing, under whatever name', async (t) => {
  const key = 'mB9FSh9qf2dCimDSUo8Zy7bkq5CX+/rkCWyvRCYg3Fs='
  const text = await readFile(policyFile, 'utf8')
  const config = await write(
    'recalled.toml',
    `${text}\n[[block]]\nkey = "renamed-1:${key}"\nreason = "stolen"\n`,
  )
  const cases = await write(
    'recalled-cases.toml',
    '[[case]]\nname = "c"\npath = "hello-2.12"\nclaims = [{ upstream = "community", signed_by = ["nix-community.cachix.org-1"] }]\nexpect = { verdict = "refused", reason = "no-trusted-signature" }\n',
  )
  const { code, stdout, stderr } = await weir('policy', 'test', '--config', config, cases)
  t.equal(code, 0, stdout + stderr)
})

t.test('the policy is shown as a table, its sets by their names', async (t) => {
  const env = [
    '--config',
    await weakened('shown', '[policy]\n', `[state]\ndir = "${dir}/state"\n\n[policy]\n`),
  ]
  const { code, stdout, stderr } = await weir('policy', 'show', ...env)
  t.equal(code, 0, stderr)
  t.match(stdout, 'no Weir runs on its state folder')
  t.match(
    stdout,
    /^ {2}1 {2}the root of trust comes from +@critical +nixos +cache\.nixos\.org-1 +serve$/m,
  )
  t.match(stdout, /^ {2}3 {2}browsers need two +firefox chromium +nixos, +own keys +2 +refuse$/m)
  t.match(stdout, /^ {2}what none matches is allowed/m)
  t.match(stdout, /^ {2}community +1 +optional +nix-community\.cachix\.org-1$/m)
  t.match(stdout, /^ {2}package xz 5\.6\.0 5\.6\.1 +the configuration +CVE-2024-3094/m)
  t.match(stdout, /^@critical: \d+ packages; --verbose lists them$/m)
  t.notMatch(stdout, /.{101}/, 'within a hundred columns')
  t.match(
    (await weir('policy', 'show', '--verbose', ...env)).stdout,
    /^@critical\n {2}nix nix-cli/m,
  )
  const json: unknown = JSON.parse((await weir('policy', 'show', '--json', ...env)).stdout)
  t.match(json, {
    epoch: /^[0-9a-f]{16}$/,
    rules: [
      { number: 1, packages: ['@critical'], signed_by: ['cache.nixos.org-1'] },
      {},
      { agree: 2 },
    ],
    upstreams: [
      { name: 'nixos', keys: [/^cache\.nixos\.org-1:6NCH/] },
      { private: true },
      { tier: 1 },
    ],
    blocks: [{ by: 'the configuration' }],
    suspended: [],
  })
})
