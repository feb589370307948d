import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import pLimit from 'p-limit'
import { fingerprint } from '../../src/nix/fingerprint.ts'
import type { Hash } from '../../src/nix/hash.ts'
import { formatNarinfo, type Narinfo } from '../../src/nix/narinfo.ts'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import { type SecretKey, sign } from '../../src/nix/signature.ts'
import { parseStoreDir, type StoreDir } from '../../src/nix/store-path.ts'
import { mustRun } from '../../test/lab/run-command.ts'
import { type Tree, writeNar } from '../../test/nix/tree.ts'
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
  const storeDir = parseStoreDir('/nix/store')
  if (storeDir === null) throw new TypeError('the bench has a malformed store directory')
  await mkdir(join(dir, 'nar'), { recursive: true })
  await writeFile(join(dir, 'nix-cache-info'), 'StoreDir: /nix/store\nWantMassQuery: 1\n')
  const limit = pLimit(parallel)
  const written = await Promise.all(
    paths.map((path) => limit(() => writePath(dir, path, { key, storeDir }))),
  )
  return {
    narBytes: written.reduce((sum, narinfo) => sum + Number(narinfo.narSize), 0),
    fileBytes: written.reduce((sum, narinfo) => sum + Number(narinfo.fileSize), 0),
  }
}

type Signing = { readonly key: SecretKey; readonly storeDir: StoreDir }

async function writePath(dir: string, path: PlannedPath, signing: Signing): Promise<Narinfo> {
  const { storePath, references } = path
  const nar = writeNar(await treeOf(path, signing.storeDir))
  const file = join(dir, 'nar', `${storePath.hash}.nar`)
  await writeFile(file, nar)
  await mustRun('xz', ['-6', '--threads=1', '--quiet', file], { timeoutMs: xzTimeoutMs })
  const fileHash = await hashFile(`${file}.xz`)
  const url = `nar/${encodeNix32(fileHash.bytes)}.nar.xz`
  await rename(`${file}.xz`, join(dir, url))
  const { size } = await stat(join(dir, url))
  const unsigned: Narinfo = {
    ...{ storePath, references, url, compression: 'xz', fileHash, fileSize: BigInt(size) },
    narHash: { algorithm: 'sha256', bytes: createHash('sha256').update(nar).digest() },
    narSize: BigInt(nar.length),
    ...{ deriver: null, signatures: [], malformedSignatures: [], ca: null, unknownFields: [] },
  }
  const signatures = [sign(signing.key, fingerprint(unsigned, signing.storeDir))]
  const text = formatNarinfo({ ...unsigned, signatures }, signing.storeDir)
  await writeFile(join(dir, `${storePath.hash}.narinfo`), text)
  return unsigned
}

async function treeOf(path: PlannedPath, storeDir: StoreDir): Promise<Tree> {
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
