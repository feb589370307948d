import type { KeyObject } from 'node:crypto'
import { opendirSync, readFileSync, type Stats, statSync } from 'node:fs'
import { narFileName } from '../../nix/nar-key.ts'
import { maxNarinfoBytes } from '../../nix/narinfo.ts'
import type { StoredNar } from '../../ports/catalog.ts'
import { describedFile } from '../../nix/described-file.ts'
import { openRecord } from '../sealed-record.ts'
import { onDisk } from './disk-files.ts'
import { narinfoFileHash } from './store-entries.ts'

/** Records that were found, and how many narinfos had none that counts. */
export type ScannedRecords = {
  readonly records: readonly StoredNar[]
  /** Narinfos without a record that this key sealed for their file. */
  readonly unsealed: number
  /** Narinfos whose NAR is not there, or not of the size that was recorded. */
  readonly wrongFiles: number
}

/** What a narinfo takes is a multiple of this nearly everywhere; to ask would cost as much as all the rest. */
const blockBytes = 4096

/** Some megabytes of names. */
const sortedNames = 50_000

/** So few that writing them down holds nobody up. */
const batchSize = 64

/**
 * The records that a key sealed in a store's narinfos, whose NARs are there with the size that was recorded. Used is what was read
 * lately, as far as the file system knows. It waits for the disk: for a thread of its own.
 */
export function* scanRecords(dir: string, key: KeyObject): Generator<ScannedRecords> {
  let batch = { records: [] as StoredNar[], unsealed: 0, wrongFiles: 0 }
  for (const name of narinfoNames(dir)) {
    const found = scanOne(dir, name, key)
    if (found === 'none') continue
    if (found === 'unsealed') batch.unsealed += 1
    else if (found === 'wrong-file') batch.wrongFiles += 1
    else batch.records.push(found)
    if (batch.records.length + batch.unsealed + batch.wrongFiles < batchSize) continue
    yield batch
    batch = { records: [], unsealed: 0, wrongFiles: 0 }
  }
  yield batch
}

/** The files of narinfos, many at a time in the order of their hashes: a catalog takes those best whose neighbours it has just taken. */
function* narinfoNames(dir: string): Generator<string> {
  using folder = opendirSync(dir, { bufferSize: 1024 })
  let names: string[] = []
  for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
    // A pipe would be waited for, and nobody could end that.
    if (entry.isFile() && narinfoFileHash(entry.name) !== null) names.push(entry.name)
    if (names.length < sortedNames) continue
    yield* names.toSorted()
    names = []
  }
  yield* names.toSorted()
}

function scanOne(
  dir: string,
  name: string,
  key: KeyObject,
): StoredNar | 'none' | 'unsealed' | 'wrong-file' {
  const narinfo = readWithin(`${dir}/${name}`)
  // Evicted since the folder was listed.
  if (narinfo === null) return 'none'
  const file = describedFile(narinfo)
  if (file?.storePathHash !== narinfoFileHash(name)) return 'unsealed'
  const record = openRecord(narinfo, file, key)
  if (record === null) return 'unsealed'
  const stat = statExisting(`${dir}/nar/${narFileName(file)}`)
  if (stat?.size !== record.fileBytes) return 'wrong-file'
  return {
    ...record,
    usedAtMs: Math.max(record.storedAtMs, Math.floor(stat.atimeMs)),
    diskBytes: onDisk(stat) + blockBytes * Math.ceil(narinfo.length / blockBytes),
  }
}

/** A narinfo's text; `null` where there is no such file. One that cannot be read says nothing. */
function readWithin(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8')
    return text.length > maxNarinfoBytes ? '' : text
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? null : ''
  }
}

/** What is known of a file; `null` where there is none, or where its disk or a link does not let it be told. */
function statExisting(path: string): Stats | null {
  try {
    return statSync(path)
  } catch {
    // One such file must not keep all others from being found.
    return null
  }
}
