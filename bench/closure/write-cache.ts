import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import pLimit from 'p-limit'
import type { Hash } from '../../src/nix/hash.ts'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import type { SecretKey } from '../../src/nix/signature.ts'
import { mustRun } from '../../test/lab/run-command.ts'
import { type Tree, writeNar } from '../../test/nix/tree.ts'
import { type MadePath, signedNarinfo, storeDir } from '../signed-narinfo.ts'
import type { PoolFile } from './file-pool.ts'
import type { PlannedPath } from './plan.ts'

/** Two xz at a time: each takes some 100 MB of memory and a core. */
const parallel = 2
const xzTimeoutMs = 600_000

/** What a written cache holds, in bytes. */
export type WrittenCache = { readonly narBytes: number; readonly fileBytes: number }

/** Writes paths to a folder as a binary cache: xz at level 6, which is Nix's default, and signed. */
export async function writeCache(
  dir: string,
  paths: readonly PlannedPath[],
  key: SecretKey,
): Promise<WrittenCache> {
  await mkdir(join(dir, 'nar'), { recursive: true })
  await writeFile(join(dir, 'nix-cache-info'), 'StoreDir: /nix/store\nWantMassQuery: 1\n')
  const limit = pLimit(parallel)
  const written = await Promise.all(paths.map((path) => limit(() => writePath(dir, path, key))))
  return {
    narBytes: written.reduce((sum, path) => sum + Number(path.narSize), 0),
    fileBytes: written.reduce((sum, path) => sum + Number(path.fileSize), 0),
  }
}

async function writePath(dir: string, path: PlannedPath, key: SecretKey): Promise<MadePath> {
  const { storePath, references } = path
  const nar = writeNar(await treeOf(path))
  const file = join(dir, 'nar', `${storePath.hash}.nar`)
  await writeFile(file, nar)
  await mustRun('xz', ['-6', '--threads=1', '--quiet', file], { timeoutMs: xzTimeoutMs })
  const fileHash = await hashFile(`${file}.xz`)
  const url = `nar/${encodeNix32(fileHash.bytes)}.nar.xz`
  await rename(`${file}.xz`, join(dir, url))
  const { size } = await stat(join(dir, url))
  const made: MadePath = {
    ...{ storePath, references, url, compression: 'xz', fileHash, fileSize: BigInt(size) },
    narHash: { algorithm: 'sha256', bytes: createHash('sha256').update(nar).digest() },
    narSize: BigInt(nar.length),
  }
  await writeFile(join(dir, `${storePath.hash}.narinfo`), signedNarinfo(made, key))
  return made
}

async function treeOf(path: PlannedPath): Promise<Tree> {
  const folders = new Map<string, (readonly [string, Tree])[]>()
  for (const [index, file] of path.files.entries()) {
    const folder = folderOf(file)
    const entries = folders.get(folder) ?? []
    folders.set(folder, entries)
    const { executable } = file
    // Some names of files hold bytes that are not UTF-8, and one name may come twice.
    const name = `${index}-${basename(file.path).replaceAll(/[^\w.+-]/g, '_')}`
    entries.push([name, { type: 'regular', contents: await readFile(file.path), executable }])
  }
  const referred = path.references.map(({ baseName }) => `${storeDir}/${baseName}\n`).join('')
  folders.set('nix-support', [
    ['references', { type: 'regular', contents: Buffer.from(referred), executable: false }],
  ])
  return {
    type: 'directory',
    entries: [...folders].map(([name, entries]) => [name, { type: 'directory', entries }]),
  }
}

function folderOf(file: PoolFile): string {
  if (/\.(so|a|node)\b/.test(file.path)) return 'lib'
  return file.executable ? 'bin' : 'share'
}

async function hashFile(file: string): Promise<Hash> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file)) hash.update(piece as Buffer)
  return { algorithm: 'sha256', bytes: hash.digest() }
}
