import { closeSync, existsSync, openSync, rmSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { EvidenceFileError } from './evidence-file-error.ts'
import { migrateEvidence } from './evidence-schema.ts'
import { isDamage } from './sqlite-damage.ts'

/**
 * Opens a file of evidence, or makes it for its owner alone, and gives its database to `use`. Unlike the catalog it is not derived
 * from anything: what is damaged is an EvidenceFileError, and never made anew.
 */
export function openEvidenceFile<T>(file: string, use: (database: DatabaseSync) => T): T {
  const isNew = makeFile(file)
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file)
    // FULL: a commit is on the disk when it returns, also in WAL mode. Writes block the process, so none waits for long.
    database.exec('PRAGMA busy_timeout = 250; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    testSoundness(database, file)
    testKind(database)
    migrateEvidence(database, file)
    return use(database)
  } catch (error) {
    if (database?.isOpen === true) database.close()
    // Half a file would be taken for a damaged one at the next start.
    if (isNew) for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true })
    throw explained(file, error)
  }
}

/** Whether the file was not there. SQLite would take what is left of a lost file, empty or a journal alone, for a new one. */
function makeFile(file: string): boolean {
  if (!existsSync(file)) {
    if (existsSync(`${file}-wal`)) throw damaged(file, 'its journal is there without it')
    closeSync(openSync(file, 'wx', 0o600))
    return true
  }
  if (statSync(file).size === 0) throw damaged(file, 'it is empty')
  return false
}

function testSoundness(database: DatabaseSync, file: string): void {
  const found = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (found !== 'ok') throw damaged(file, String(found))
}

/** Another database of Weir's has a version of its own, which says nothing of what a newer Weir wrote here. */
function testKind(database: DatabaseSync): void {
  const version = database.prepare('PRAGMA user_version').get()?.['user_version']
  if (version !== 0) database.prepare('SELECT 1 FROM served')
}

function explained(file: string, error: unknown): unknown {
  if (error instanceof EvidenceFileError || !(error instanceof Error)) return error
  if (isDamage(error)) return damaged(file, error.message, error)
  if (!('errcode' in error)) return error
  return new EvidenceFileError(
    'unusable',
    `the evidence in ${file} cannot be opened (${error.message}): Weir must be able to read and write it, and be alone with it`,
    { cause: error },
  )
}

function damaged(file: string, why: string, cause?: unknown): EvidenceFileError {
  return new EvidenceFileError(
    'damaged',
    `the evidence in ${file} is damaged (${why.replaceAll(/\s+/g, ' ')}): move it aside together with ${file}-wal and ${file}-shm, and put a backup in its place; without one, what was recorded in it is then missing from recalls`,
    { cause },
  )
}
