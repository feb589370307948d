import { access, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { EvidenceFileError } from '../../src/store/sqlite/evidence-file-error.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { servedNar } from '../contracts/evidence-fixtures.ts'
import { change, openEvidence } from './open-evidence.ts'

const root = t.testdir()
const newFile = async (): Promise<string> =>
  join(await mkdtemp(join(root, 'd-')), 'evidence.sqlite')

/** What a person is told of a file that cannot be used. */
function refusal(file: string): EvidenceFileError {
  try {
    openEvidence(file)
  } catch (error) {
    if (error instanceof EvidenceFileError) return error
    throw error
  }
  throw new Error('it was opened')
}

const damages: Readonly<Record<string, (file: string) => Promise<void>>> = {
  'is no database': (file) => writeFile(file, 'not a database'.repeat(1000)),
  'was cut off': (file) => truncate(file, 5000),
  'was emptied': (file) => truncate(file, 0),
  'has a page of noise': async (file) => {
    const bytes = await readFile(file)
    bytes.fill(0xa5, 3 * 4096, 4 * 4096)
    await writeFile(file, bytes)
  },
  'lacks a table': async (file) => {
    change(file, 'PRAGMA foreign_keys = OFF; DROP TABLE served')
  },
  'is a catalog': async (file) => {
    await rm(file)
    await openSqliteCatalog(file).close()
  },
}

t.test('a file of evidence', async (t) => {
  for (const [title, damage] of Object.entries(damages)) {
    t.test(`that ${title} is refused, and left as it is`, async (t) => {
      const file = await newFile()
      const { evidence } = openEvidence(file)
      evidence.served(servedNar('0', 'hello-2.12'))
      await evidence.close()
      await damage(file)
      const damaged = await readFile(file)
      const { code, message } = refusal(file)
      t.equal(code, 'damaged')
      t.ok(message.includes(`the evidence in ${file} is damaged (`), message)
      t.match(message, /: move it aside .*; .* is then missing from recalls$/)
      t.ok((await readFile(file)).equals(damaged))
      await rename(file, `${file}.aside`)
      const anew = openEvidence(file)
      t.strictSame(await anew.evidence.findServed({}, 10), [])
      await anew.evidence.close()
    })
  }

  t.test('that is gone while its journal is there is refused', async (t) => {
    const file = await newFile()
    await writeFile(`${file}-wal`, 'records')
    t.equal(refusal(file).code, 'damaged')
    await t.rejects(access(file))
    t.equal(await readFile(`${file}-wal`, 'utf8'), 'records')
  })

  t.test('that a newer Weir wrote is refused, and left as it is', async (t) => {
    const file = await newFile()
    await openEvidence(file).evidence.close()
    change(file, 'PRAGMA user_version = 1000')
    const { code, message } = refusal(file)
    t.equal(code, 'newer')
    t.ok(message.includes(file))
    t.match(message, /version 1000.*: start a newer Weir/)
  })

  t.test('that another holds is refused, with words for people', async (t) => {
    const file = await newFile()
    await openEvidence(file).evidence.close()
    const other = new DatabaseSync(file)
    other.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    const { code, message } = refusal(file)
    t.equal(code, 'unusable')
    t.ok(message.includes(file))
    other.close()
  })

  t.test('in a folder that is not there is an error that names it', async (t) => {
    const file = join(await newFile(), 'evidence.sqlite')
    t.throws(() => openEvidence(file), { code: 'ENOENT', path: file })
  })
})
