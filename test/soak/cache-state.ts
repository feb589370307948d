import { cp, lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createHash } from 'node:crypto'
import { type Offer, narSha256Of } from '../lab/forged-offer.ts'
import { decodeFile } from './made-cache.ts'

/** A record of the catalog. */
export type Stored = {
  readonly hash: string
  readonly narHash: string
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
    const rows = database.prepare('SELECT hash, nar_hash, file_bytes FROM nar').all()
    database.close()
    return rows.map((row) => ({
      hash: String(row['hash']),
      narHash: String(row['nar_hash']),
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

/** The file of a record among the names; `null` where it has none. */
export function fileOf({ hash, narHash }: Stored, names: readonly string[]): string | null {
  return names.find((name) => name.startsWith(`${hash}-${narHash}.nar`)) ?? null
}

/** Everything in which files and catalog differ: files and narinfos without a record, records without a file. */
export async function disagreements(folders: Folders): Promise<readonly string[]> {
  const records = await readCatalog(folders)
  const files = await narFiles(folders)
  const known = records.map((record) => fileOf(record, files))
  const narinfos = (await readdir(folders.cacheDir)).filter((name) => name.endsWith('.narinfo'))
  const sizes = await Promise.all(
    records.map(async ({ fileBytes }, index) => {
      const file = known[index] ?? null
      if (file === null) return []
      const { size } = await lstat(join(folders.cacheDir, 'nar', file))
      return size === fileBytes ? [] : [`${file} has ${size} bytes, its record ${fileBytes}`]
    }),
  )
  return [
    ...files.filter((file) => !known.includes(file)).map((file) => `no record of ${file}`),
    ...records.flatMap(({ hash }, index) => (known[index] === null ? [`no file of ${hash}`] : [])),
    ...narinfos
      .filter((name) => !records.some(({ hash }) => name === `${hash}.narinfo`))
      .map((name) => `no record of ${name}`),
    ...sizes.flat(),
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
