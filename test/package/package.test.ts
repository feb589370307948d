/* Needs the network: packs the package and installs it with its dependencies (package.json) from the npm registry. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient } from '../lab/nix-client.ts'
import { quickcheck } from '../lab/quickcheck.ts'
import { rawGet } from '../lab/raw-client.ts'
import { mustRun } from '../lab/run-command.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'

t.setTimeout(300_000)
const repository = resolve(import.meta.dirname, '../..')

type Lock = { readonly packages: Readonly<Record<string, { readonly hasInstallScript?: boolean }>> }

t.test('the packed package installs without a compiler, and serves', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-package-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await mustRun('npm', ['pack', '--pack-destination', dir], { cwd: repository })
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as {
    readonly version: string
  }
  await writeFile(join(dir, 'package.json'), '{"private":true}')
  await mustRun('npm', ['install', '--no-audit', '--no-fund', `./weir-${version}.tgz`], {
    cwd: dir,
  })
  const modules = join(dir, 'node_modules')
  const lock = JSON.parse(await readFile(join(modules, '.package-lock.json'), 'utf8')) as Lock
  const withScripts = Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript)
  t.same(withScripts, [], 'nothing that it needs runs a script when it is installed')
  const main = join(modules, 'weir', 'dist', 'main.js')
  t.match(await mustRun(process.execPath, [main, '--version']), /^weir \d/)

  const lab = await prepareLab()
  await using upstream = await startUpstream({ root: lab.caches.xz })
  await using client = await createNixClient({ lab })
  const config = { upstreams: [{ name: 'lab', url: upstream.url, keys: [lab.publicKey] }] }
  await using weir = await startWeir({ main, config })
  await t.resolves(quickcheck(client, weir.url), 'xz is decoded by what the package brings along')
  const { body } = await rawGet(`${weir.url}/`)
  const folder = /\/ui\/[0-9a-f]+\//.exec(body.toString())?.[0] ?? ''
  const files = [
    'style.css',
    'icon.svg',
    'uplot.css',
    'uplot.js',
    'browser/main.js',
    'view/html.js',
  ]
  for (const file of files) {
    t.equal(
      (await rawGet(`${weir.url}${folder}${file}`)).status,
      200,
      `the page's ${file} is in it`,
    )
  }
})
