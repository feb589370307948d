import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { buildPaths, type LabPathName, type LabPaths } from './build-paths.ts'
import { copyCaches, type Encoding, encodings } from './copy-caches.ts'
import { doOnce } from './machine-lock.ts'
import { createNixEnvironment, dumpSha256 } from './nix-environment.ts'
import { pruneLabs } from './prune-labs.ts'
import { mustRun } from './run-command.ts'

/** The signed caches that end-to-end tests run against; tests must not change their files. */
export type Lab = {
  readonly dir: string
  readonly keyName: string
  /** `name:base64`, as clients and Weir are configured with. */
  readonly publicKey: string
  readonly secretKeyFile: string
  readonly paths: LabPaths
  /** All paths but the two big ones; their closures make some 75 paths, and all but seconds. */
  readonly smallRoots: readonly string[]
  /** A folder per encoding in the layout of a binary cache; `incompressible` is in xz, zstd and none only. */
  readonly caches: Readonly<Record<Encoding, string>>
  /** The SHA-256, in hex, of the NAR of any path in the closure of the roots; throws for others. */
  readonly narSha256: (path: string) => string
}

type Manifest = {
  readonly publicKey: string
  readonly paths: LabPaths
  readonly narSha256: Readonly<Record<string, string>>
}

const keyName = 'lab.test-1'
const sources = ['lab.nix', 'build-paths.ts', 'big-files.ts', 'copy-caches.ts', 'lab-caches.ts']
const bigPaths: readonly LabPathName[] = ['compressible', 'incompressible']

/** Returns the lab, building it first where this machine has none made from the same sources. */
export async function prepareLab(): Promise<Lab> {
  const hash = createHash('sha256')
  for (const source of sources) hash.update(await readFile(join(import.meta.dirname, source)))
  const prefix = `weir-lab-${userInfo().uid}-`
  const dir = join(tmpdir(), prefix + hash.digest('hex').slice(0, 16))
  const isDone = () =>
    access(join(dir, 'lab.json')).then(
      () => true,
      () => false,
    )
  await doOnce(`${dir}.lock`, isDone, () => build(dir))
  const now = new Date()
  await utimes(dir, now, now)
  await pruneLabs(dir, prefix, now.getTime())
  return read(dir)
}

async function build(dir: string): Promise<void> {
  const work = `${dir}.work`
  await rm(work, { recursive: true, force: true })
  await mkdir(work, { mode: 0o700 })
  const env = await createNixEnvironment(work)
  const secretKeyFile = join(work, 'key.sec')
  const publicKeyFile = join(work, 'key.pub')
  await mustRun(
    'nix-store',
    ['--generate-binary-cache-key', keyName, secretKeyFile, publicKeyFile],
    { env },
  )
  const sourceDir = join(work, 'sources')
  await mkdir(sourceDir)
  const paths = await buildPaths(sourceDir, env)
  await rm(sourceDir, { recursive: true })
  const cacheDir = (encoding: Encoding) => join(work, encoding)
  const [narSha256] = await Promise.all([
    hashClosure(Object.values(paths), env),
    copyCaches({ cacheDir, secretKeyFile, paths, env }),
  ])
  const publicKey = (await readFile(publicKeyFile, 'utf8')).trim()
  const manifest: Manifest = { publicKey, paths, narSha256 }
  await writeFile(join(work, 'lab.json'), JSON.stringify(manifest, null, 1))
  await rename(work, dir)
}

async function hashClosure(roots: readonly string[], env: NodeJS.ProcessEnv) {
  const closure = await mustRun('nix-store', ['-qR', ...roots], { env })
  const hashes: Record<string, string> = {}
  for (const path of closure.split('\n')) hashes[path] = await dumpSha256(path, env)
  return hashes
}

async function read(dir: string): Promise<Lab> {
  const manifest = JSON.parse(await readFile(join(dir, 'lab.json'), 'utf8')) as Manifest
  const { publicKey, paths } = manifest
  const big = bigPaths.map((name) => paths[name])
  const caches = encodings.map((encoding) => [encoding, join(dir, encoding)] as const)
  return {
    dir,
    keyName,
    publicKey,
    secretKeyFile: join(dir, 'key.sec'),
    paths,
    smallRoots: Object.values(paths).filter((path) => !big.includes(path)),
    caches: Object.fromEntries(caches) as Record<Encoding, string>,
    narSha256: (path) => {
      const hash = manifest.narSha256[path]
      if (hash === undefined) throw new Error(`${path} is not a path of the lab`)
      return hash
    },
  }
}
