import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { workFolder } from '../fakes/work-folder.ts'
import { labPublicKey } from '../nix/fixtures.ts'
import { weirConfig } from '../lab/weir-config.ts'
import { weir } from './run-weir.ts'

const dir = workFolder(t)
const configFile = join(dir, 'weir.toml')
const upstreams = [{ name: 'lab', url: 'http://127.0.0.1:9', keys: [labPublicKey] }]
const cacheDir = join(dir, 'cache')
const stateDir = join(dir, 'state')
await writeFile(configFile, weirConfig({ cacheDir, stateDir, upstreams }))

t.test(
  'a command line that cannot be meant ends with 2, says what could be, and does nothing',
  async (t) => {
    const hash = '0c7c9q1f6v7d3kmxz5s2w8bh4jrny0pl'
    const lines: readonly (readonly [string, string])[] = [
      ['reload now', 'takes no operands'],
      ['upstream', 'say list, suspend or resume'],
      ['upstream suspend', 'suspend takes one name'],
      ['upstream list lab', 'list takes no name'],
      ['upstream resume lab --why x', '--why is for suspend'],
      ['recall', 'say one of PATH, HASH, --package, --key and --nar-hash'],
      [`recall ${hash} --package xz --reason x`, 'say one of'],
      [`recall ${hash}`, 'say --reason'],
      ['recall --list --package xz', '--list stands alone'],
      [`recall ${hash} --versions 1 --reason x`, '--versions is for --package'],
      [
        'recall --package xz-5.6.1 --reason x',
        '--package: found "xz-5.6.1", which is of the package "xz".\n  Allowed: "xz".',
      ],
      ['recall --package xz --versions 5.6.0,x --reason x', '--versions: found "x".'],
      ['recall --key lab --reason x', '--key: found a text without a colon.'],
      ['recall --nar-hash sha1:abc --reason x', '--nar-hash: found "sha1:abc".'],
      ['recall nonsense --reason x', 'PATH: found "nonsense".'],
      [`recall /gnu/store/${hash}-xz --reason x`, 'PATH: found a path below "/gnu/store"'],
      ['pin', 'takes at least one path or hash'],
      ['pin nonsense', '"nonsense" is no path below /nix/store'],
      ['unpin', 'takes at least one path or hash'],
      ['pins x', 'takes no operands'],
      ['explain', 'takes one path or hash'],
      ['explain nonsense', '"nonsense" is no path below /nix/store'],
      ['policy', 'say show or test'],
      ['policy show x', 'show takes no operands'],
      ['policy test', 'test takes at least one file'],
      ['policy test --json x', 'test takes no flags'],
      ['recall --lift=1 x', '--lift'],
    ]
    for (const [line, message] of lines) {
      const { code, stdout, stderr } = await weir(...line.split(' '), '--config', configFile)
      t.strictSame([code, stdout], [2, ''], line)
      t.ok(stderr.includes(message), message, { stderr })
      t.match(stderr, `Usage: weir ${line.split(' ')[0] ?? ''} [--config FILE]`)
    }
  },
)

t.test('each new command is listed, and explains itself to a stranger', async (t) => {
  const { stdout } = await weir('help')
  for (const command of [
    'reload',
    'upstream',
    'recall',
    'pin',
    'unpin',
    'pins',
    'explain',
    'policy',
  ]) {
    t.match(stdout, new RegExp(`^  ${command} +\\S`, 'm'))
    const help = await weir(command, '--help')
    t.equal(help.code, 0)
    t.ok(help.stdout.startsWith(`Usage: weir ${command} [--config FILE]`))
  }
  t.match((await weir('recall', '--help')).stdout, /^ {2}--reason +why/m)
  t.match(
    (await weir('recall', '--help')).stdout,
    /\[--reason …\] \[--list\] \[--lift\] \[--json\]/,
  )
})

t.test('where no Weir runs, what only a running one can do ends with 1 and says so', async (t) => {
  for (const line of [
    'status',
    'reload',
    'upstream list',
    'upstream suspend lab',
    'upstream resume lab',
  ]) {
    const result = await weir(...line.split(' '), '--config', configFile)
    t.strictSame(
      result,
      { code: 1, stdout: '', stderr: `weir: no weir runs on ${stateDir}\n` },
      line,
    )
  }
})

t.test(
  'clients that trust the upstreams keys alone need no key of Weir for their lines',
  async (t) => {
    const keep = join(dir, 'keep.toml')
    const extra = { signing: { mode: 'keep' } }
    await writeFile(keep, weirConfig({ cacheDir, stateDir, upstreams, extra }))
    const { code, stdout, stderr } = await weir(
      'nix-conf',
      '--config',
      keep,
      '--url',
      'http://weir:80',
    )
    t.equal(code, 0, stderr)
    t.match(stdout, `trusted-public-keys = ${labPublicKey}\n`)
  },
)
