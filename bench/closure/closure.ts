import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { formatPublicKey, generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import { prepareLab } from '../../test/lab/lab-caches.ts'
import { doOnce } from '../../test/lab/machine-lock.ts'
import { listPool } from './file-pool.ts'
import { type ClosureOptions, planClosure } from './plan.ts'
import { writeCache } from './write-cache.ts'

/** What a client substitutes in a bench, in a binary cache of xz. */
export type Closure = {
  /** The folder of the binary cache. */
  readonly cacheDir: string
  /** `name:base64` */
  readonly publicKey: string
  /** Full store paths. */
  readonly roots: readonly string[]
  /** How many paths the roots reach, themselves included; null where nobody counted. */
  readonly pathCount: number | null
  /** What stands above a table. */
  readonly description: string
}

/** 200 paths, 500 MB. */
export const standardClosure: ClosureOptions = {
  seed: 1,
  count: 200,
  totalBytes: 500_000_000,
  largestBytes: 70_000_000,
}

const sources = ['random.ts', 'sizes.ts', 'file-pool.ts', 'plan.ts', 'write-cache.ts']
const folders = ['/usr/lib', '/usr/bin', '/usr/share', resolve('node_modules')]
const manifestName = 'closure.json'

/** Returns the closure of these options, first making it from files of this machine where that was not done before: minutes. */
export async function prepareClosure(options: ClosureOptions): Promise<Closure> {
  const name = `closure-${await fingerprintOf(options)}`
  const home = process.env['XDG_CACHE_HOME']
  const parent = home ? join(home, 'weir-bench') : join(tmpdir(), `weir-bench-${userInfo().uid}`)
  const dir = join(parent, name)
  const manifest = join(dir, manifestName)
  await mkdir(parent, { recursive: true, mode: 0o700 })
  const isDone = () =>
    access(manifest).then(
      () => true,
      () => false,
    )
  await doOnce(`${dir}.lock`, isDone, () => makeClosure(dir, options))
  return { ...(JSON.parse(await readFile(manifest, 'utf8')) as Closure), cacheDir: dir }
}

async function makeClosure(dir: string, options: ClosureOptions): Promise<void> {
  const work = `${dir}.work`
  await rm(work, { recursive: true, force: true })
  await mkdir(work)
  console.error(`Making a closure of ${options.count} paths: some minutes, once.`)
  const paths = planClosure(await listPool(folders), options)
  const key = generateSecretKey('bench.weir.test-1')
  const { narBytes, fileBytes } = await writeCache(work, paths, key)
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`
  const closure: Closure = {
    cacheDir: dir,
    publicKey: formatPublicKey(publicKeyOf(key)),
    roots: paths.slice(0, 1).map(({ storePath }) => `/nix/store/${storePath.baseName}`),
    pathCount: paths.length,
    description: `${paths.length} paths, ${megabytes(narBytes)} of NAR, ${megabytes(fileBytes)} in xz`,
  }
  await writeFile(join(work, manifestName), JSON.stringify(closure, null, 1))
  await rename(work, dir)
}

/** Changes with the options and with the code that makes closures. */
async function fingerprintOf(options: ClosureOptions): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(options))
  for (const source of sources) hash.update(await readFile(join(import.meta.dirname, source)))
  return hash.digest('hex').slice(0, 16)
}

/** All paths of the lab that the end-to-end tests run against, as a closure. */
export async function labClosure(): Promise<Closure> {
  const lab = await prepareLab()
  return {
    cacheDir: lab.caches.xz,
    publicKey: lab.publicKey,
    roots: Object.values(lab.paths),
    pathCount: null,
    description: "the lab's paths",
  }
}
