import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { drvOutputFile, parseDrvOutputFile } from '../../src/nix/drv-output.ts'
import { parseRealisation } from '../../src/nix/parse-realisation.ts'
import {
  formatRealisation,
  type Realisation,
  realisationFingerprint,
} from '../../src/nix/realisation.ts'
import {
  formatPublicKey,
  generateSecretKey,
  publicKeyOf,
  type SecretKey,
  sign,
} from '../../src/nix/signature.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { reloadWeir } from '../lab/ask-weir.ts'
import { prepareLab } from '../lab/lab-caches.ts'
import { createNixClient, type NixClient } from '../lab/nix-client.ts'
import { createNixEnvironment } from '../lab/nix-environment.ts'
import { mustRun, runCommand } from '../lab/run-command.ts'
import { startUpstream, type UpstreamServer } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { must } from '../nix/fixtures.ts'

t.setTimeout(600_000)
const lab = await prepareLab()
const dir = workFolder(t)
const nixFile = join(dir, 'ca.nix')

/* What Nix itself builds, signs and copies: a content-addressed output, made from another. */

await writeFile(
  nixFile,
  `let
  mk = name: args: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    __contentAddressed = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
  } // args);
in rec {
  dep = mk "realised-dep-1.0" { args = [ "-c" "mkdir $out; echo dep > $out/dep" ]; };
  top = mk "realised-top-1.0" { inherit dep; args = [ "-c" "mkdir $out; echo $out $dep > $out/top" ]; };
}
`,
)

/** Builds in a store of its own, with no more of the machine in its sandbox than the builders need. */
async function makeCache() {
  const env = await createNixEnvironment(dir)
  const [store, cache] = [join(dir, 'store'), join(dir, 'signed')]
  // As in any store, what is in it cannot be changed or removed as it is.
  t.teardown(() => runCommand('chmod', ['-R', 'u+w', store]))
  const [secret, publicFile] = [join(dir, 'key.sec'), join(dir, 'key.pub')]
  await mustRun('nix-store', ['--generate-binary-cache-key', 'ours-1', secret, publicFile], { env })
  const tools = ['/bin', '/usr', '/lib', '/lib64'].filter((folder) => existsSync(folder))
  const sandbox = tools.map((folder) => `${folder}=${folder}`).join(' ')
  const options = ['--option', 'sandbox-paths', sandbox, '--option', 'secret-key-files', secret]
  const build = ['build', '--no-link', '--store', store, ...options, '-f', nixFile, 'top']
  await mustRun('nix', build, { env })
  const copy = ['copy', '--from', store, '--to', `file://${cache}`, '-f', nixFile, 'top']
  await mustRun('nix', copy, { env })
  return { cache, publicKey: (await readFile(publicFile, 'utf8')).trim() }
}

async function readRealisations(cache: string): Promise<readonly Realisation[]> {
  const files = (await readdir(join(cache, 'realisations'))).map((name) => `realisations/${name}`)
  return Promise.all(
    files.map(async (file) => {
      const bytes = await readFile(join(cache, file))
      const parsed = parseRealisation(bytes, must(parseDrvOutputFile(file)))
      if (parsed.kind === 'malformed') throw new Error(parsed.reason)
      return parsed.realisation
    }),
  )
}

const made = await makeCache()
const realisations = await readRealisations(made.cache)
const top = must(realisations.find(({ outPath }) => outPath.name === 'realised-top-1.0'))
const topPath = `/nix/store/${top.outPath.baseName}`
const theirs = generateSecretKey('theirs-1')
const empty = join(dir, 'empty')
await mkdir(empty)

/** The same cache, with the signatures of its realisations changed. */
async function variant(name: string, change: (realisation: Realisation) => Realisation) {
  const root = join(dir, name)
  await cp(made.cache, root, { recursive: true })
  for (const realisation of realisations) {
    const file = join(root, drvOutputFile(realisation.output))
    await writeFile(file, formatRealisation(change(realisation)))
  }
  return root
}

const signedBy = (key: SecretKey) => (realisation: Realisation) => ({
  ...realisation,
  signatures: [sign(key, realisationFingerprint(realisation))],
})
const caches = {
  signed: made.cache,
  unsigned: await variant('unsigned', (realisation) => ({ ...realisation, signatures: [] })),
  byAnother: await variant('by-another', signedBy(theirs)),
  byAStranger: await variant('by-a-stranger', signedBy(generateSecretKey('stranger-1'))),
  byAnImpostor: await variant('by-an-impostor', signedBy(generateSecretKey('ours-1'))),
}

/** Whether a client that may build nothing gets the output: only somebody's word for what it is leads there. */
async function getsOutput(client: NixClient, substituter: string): Promise<boolean> {
  const trusted = [made.publicKey, formatPublicKey(publicKeyOf(theirs))].join(' ')
  const options = ['--option', 'substituters', substituter, '--option', 'trusted-public-keys']
  const store = ['--store', client.storeDir, '--max-jobs', '0']
  const { code, stderr } = await client.run([
    'nix',
    ...['build', '--no-link', ...store, ...options, trusted, '-f', nixFile, 'top'],
  ])
  const has = await client.has(topPath)
  if ((code === 0) !== has)
    throw new Error(`exit ${String(code)}, yet has it: ${String(has)}\n${stderr}`)
  return has
}

const realisationsAskedOf = ({ requests }: UpstreamServer) =>
  requests.filter(({ path }) => path.startsWith('/realisations/'))

type Case = {
  readonly cache: keyof typeof caches
  readonly extra: Readonly<Record<string, unknown>>
  readonly gets: boolean
  /** What the answer to the request itself says; `null` where no upstream is to be asked. */
  readonly verdict: string | null
}

const enabled = { policy: { realisations: true } }
const topsFrom = (from: string) => ({
  ...enabled,
  rule: [{ name: 'tops', packages: ['realised-top'], from: [from] }],
})
const depsFrom = (from: string) => ({
  ...enabled,
  rule: [{ name: 'deps', packages: ['realised-dep'], from: [from] }],
})
const cases: Readonly<Record<string, Case>> = {
  'not enabled, a signed one': { cache: 'signed', extra: {}, gets: false, verdict: null },
  'not enabled, an unsigned one': { cache: 'unsigned', extra: {}, gets: false, verdict: null },
  'one by a key that may vouch': {
    cache: 'signed',
    extra: enabled,
    gets: true,
    verdict: 'trusted',
  },
  'one by a key that may vouch, from where the rule says': {
    cache: 'signed',
    extra: topsFrom('ours'),
    gets: true,
    verdict: 'trusted',
  },
  'one by a key that may vouch, but not for that name': {
    cache: 'signed',
    extra: topsFrom('theirs'),
    gets: false,
    verdict: 'refused',
  },
  'one by a key that may vouch, but not for what it was made from': {
    cache: 'signed',
    extra: depsFrom('theirs'),
    gets: false,
    verdict: 'refused',
  },
  'an unsigned one': { cache: 'unsigned', extra: enabled, gets: false, verdict: 'refused' },
  'an unsigned one, in report-only mode': {
    cache: 'unsigned',
    extra: { policy: { realisations: true, enforce: false } },
    gets: false,
    verdict: 'refused',
  },
  "one by another upstream's key": {
    cache: 'byAnother',
    extra: enabled,
    gets: false,
    verdict: 'refused',
  },
  'one by a key that nobody knows': {
    cache: 'byAStranger',
    extra: enabled,
    gets: false,
    verdict: 'refused',
  },
  'one by another key of the same name': {
    cache: 'byAnImpostor',
    extra: enabled,
    gets: false,
    verdict: 'refused',
  },
}

const other = await startUpstream({ root: empty })
const upstreamsOf = (ours: UpstreamServer) => [
  { name: 'ours', url: ours.url, keys: [made.publicKey] },
  { name: 'theirs', url: other.url, keys: [formatPublicKey(publicKeyOf(theirs))] },
]
/** Each case is a configuration that it takes while it runs. */
const weir = await startWeir({
  config: { upstreams: [{ name: 'other', url: other.url, keys: [] }] },
})
t.teardown(async () => {
  await weir[Symbol.asyncDispose]()
  await other.close()
})

t.test('without Weir the client takes an unsigned realisation', async (t) => {
  await using upstream = await startUpstream({ root: caches.unsigned })
  await using client = await createNixClient({ lab })
  t.ok(await getsOutput(client, upstream.url))
})

for (const [what, { cache, extra, gets, verdict }] of Object.entries(cases)) {
  t.test(`${what}: the client ${gets ? 'gets the output' : 'does not'}`, async (t) => {
    await using ours = await startUpstream({ root: caches[cache] })
    await using client = await createNixClient({ lab })
    await reloadWeir(weir, { upstreams: upstreamsOf(ours), extra })
    t.equal(await getsOutput(client, weir.url), gets)
    t.equal(realisationsAskedOf(ours).length > 0, verdict !== null)
    const answer = await fetch(`${weir.url}/${drvOutputFile(top.output)}`)
    t.equal(answer.status, gets ? 200 : 404)
    t.equal(answer.headers.get('x-weir-verdict'), verdict)
    const text = await answer.text()
    if (gets) t.equal(text, await readFile(join(caches.signed, drvOutputFile(top.output)), 'utf8'))
    else t.match(text, verdict === null ? 'realisations are not enabled' : 'refused: ours: ')
  })
}
