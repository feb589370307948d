import { cp, lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createHash } from 'node:crypto'
import { type Offer, narSha256Of } from '../lab/forged-offer.ts'
import { decodeFile, extensionOf } from './made-cache.ts'

/** A record of the catalog. */
export type Stored = {
  /** Of the store path. */
  readonly hash: string
  /** The name of its NAR's file. */
  readonly file: string
  readonly fileBytes: number
}

type Folders = { readonly cacheDir: string; readonly stateDir: string }

/** The catalog's records, read from a copy of its files: what a crash left is then read as Weir will read it. */
export async function readCatalog({ stateDir }: Folders): Promise<readonly Stored[]> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-catalog-'))
  try {
    for (const name of await readdir(stateDir)) {
      if (/^catalog\.sqlite(-wal)?$/.test(name)) await cp(join(stateDir, name), join(dir, name))
    }
    const database = new DatabaseSync(join(dir, 'catalog.sqlite'))
    const rows = database.prepare('SELECT hash, nar_hash, compression, file_bytes FROM nar').all()
    database.close()
    return rows.map((row) => ({
      hash: String(row['hash']),
      file: `${String(row['hash'])}-${String(row['nar_hash'])}.nar${extensionOf(String(row['compression']))}`,
      fileBytes: Number(row['file_bytes']),
    }))
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** The names of the stored NARs' files. */
export function narFiles({ cacheDir }: Folders): Promise<readonly string[]> {
  return readdir(join(cacheDir, 'nar'))
}

/** What was being written when Weir ended. */
export function partialFiles({ cacheDir }: Folders): Promise<readonly string[]> {
  return readdir(join(cacheDir, '.partial'))
}

/** Everything in which files and catalog differ: files and narinfos without a record, records without a file. */
export async function disagreements(folders: Folders): Promise<readonly string[]> {
  const records = await readCatalog(folders)
  const files = await narFiles(folders)
  const narinfos = (await readdir(folders.cacheDir)).filter((name) => name.endsWith('.narinfo'))
  const differing = records.map(async ({ file, fileBytes }) => {
    const stats = await lstat(join(folders.cacheDir, 'nar', file)).catch(() => null)
    if (stats === null) return [`no file ${file}`]
    return stats.size === fileBytes ? [] : [`${file}: ${stats.size} bytes, not ${fileBytes}`]
  })
  return [
    ...files
      .filter((name) => !records.some(({ file }) => file === name))
      .map((name) => `no record of ${name}`),
    ...narinfos
      .filter((name) => !records.some(({ hash }) => name === `${hash}.narinfo`))
      .map((name) => `no record of ${name}`),
    ...(await Promise.all(differing)).flat(),
  ]
}

/** The stored files that are not the NAR of the offered path. */
export async function wrongFiles(
  folders: Folders,
  offers: readonly Offer[],
): Promise<readonly string[]> {
  const wrong: string[] = []
  for (const name of await narFiles(folders)) {
    const offer = offers.find(({ narinfo }) => name.startsWith(narinfo.storePath.hash))
    const file = await readFile(join(folders.cacheDir, 'nar', name))
    const nar = await decodeFile(name, file).catch(() => Buffer.alloc(0))
    const got = createHash('sha256').update(nar).digest('hex')
    if (offer === undefined || got !== narSha256Of(offer)) wrong.push(name)
  }
  return wrong
}

/** The bytes that a folder takes on its disk, in blocks; what vanishes meanwhile counts for nothing. */
export async function diskBytes(dir: string): Promise<number> {
  const names = await readdir(dir, { recursive: true }).catch(() => [])
  const sizes = names.map(async (name) => {
    const stats = await lstat(join(dir, name)).catch(() => null)
    return stats?.isFile() === true ? stats.blocks * 512 : 0
  })
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0)
}
