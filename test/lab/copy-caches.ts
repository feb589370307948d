import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
import { labNix, type LabPaths } from './build-paths.ts'
import { mustRun } from './run-command.ts'

/** The encodings that the lab's caches come in: all that `nix copy` 2.8 writes and clients meet in the wild. */
export const encodings = ['xz', 'zstd', 'none', 'bzip2', 'br', 'gzip'] as const
export type Encoding = (typeof encodings)[number]

type CopyOptions = {
  readonly cacheDir: (encoding: Encoding) => string
  readonly secretKeyFile: string
  readonly paths: LabPaths
  readonly env: NodeJS.ProcessEnv
}

/** Which encodings the 100 MB path is in; the others would only cost time. */
const bigEncodings: readonly Encoding[] = ['xz', 'zstd', 'none']

/**
 * Adds to the br cache a path that the none cache has: `nix copy` would compress it at Brotli's highest quality,
 * whatever level it is asked for, and take a minute.
 */
async function transcodeToBrotli(from: string, to: string, path: string, env: NodeJS.ProcessEnv) {
  const name = `${basename(path).slice(0, 32)}.narinfo`
  const narinfo = await readFile(join(from, name), 'utf8')
  const url = /^URL: (.*)$/m.exec(narinfo)?.[1] ?? ''
  const nar = await promisify(brotliCompress)(await readFile(join(from, url)), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 4 },
  })
  const hex = createHash('sha256').update(nar).digest('hex')
  const hash = await mustRun('nix-hash', ['--type', 'sha256', '--to-base32', hex], { env })
  const lines: Readonly<Record<string, string>> = {
    URL: `nar/${hash}.nar.br`,
    Compression: 'br',
    FileHash: `sha256:${hash}`,
    FileSize: String(nar.length),
  }
  await mkdir(join(to, 'nar'), { recursive: true })
  await writeFile(join(to, 'nar', `${hash}.nar.br`), nar)
  await writeFile(
    join(to, name),
    narinfo.replaceAll(/^(URL|Compression|FileHash|FileSize): .*$/gm, (line, key: string) => {
      const value = lines[key]
      return value === undefined ? line : `${key}: ${value}`
    }),
  )
}

/** Copies the lab's paths, signed, to one cache per encoding, with listings and realisations; derivations and a log to xz. */
export async function copyCaches(options: CopyOptions): Promise<void> {
  const { cacheDir, secretKeyFile, paths, env } = options
  const { compressible, incompressible, ...small } = paths
  const url = (encoding: Encoding, query = '') =>
    `file://${cacheDir(encoding)}?compression=${encoding}&secret-key=${secretKeyFile}&write-nar-listing=1${query}`
  const nix = (...args: readonly string[]) => mustRun('nix', args, { env, timeoutMs: 240_000 })
  const copy = (to: string, ...args: readonly string[]) => nix('copy', '--to', to, ...args)
  const fill = async (encoding: Encoding) => {
    await copy(url(encoding), ...Object.values(small))
    await copy(url(encoding), '-f', labNix, 'contentAddressed')
    if (encoding === 'br') return
    // Only xz is slow enough to need both processors, and bzip2 refuses the option.
    const parallel = encoding === 'xz' ? '&parallel-compression=true' : ''
    const quick = url(encoding, `&compression-level=1${parallel}`)
    await copy(quick, compressible)
    if (bigEncodings.includes(encoding)) await copy(quick, incompressible)
  }
  await Promise.all(encodings.map(fill))
  await transcodeToBrotli(cacheDir('none'), cacheDir('br'), compressible, env)
  const derivation = await mustRun('nix-instantiate', [labNix, '-A', 'top'], { env })
  await copy(url('xz'), '--derivation', derivation)
  await nix('store', 'copy-log', '--to', url('xz'), derivation)
}
