import t from 'tap'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { openSqliteEvidence } from '../../src/store/sqlite/sqlite-evidence.ts'
import { evidenceContract } from '../contracts/evidence-contract.ts'
import { createMemoryEvidence } from '../fakes/memory-evidence.ts'
import { createSilentLog } from '../fakes/silent-log.ts'

const root = t.testdir()
const newFile = async (): Promise<string> =>
  join(await mkdtemp(join(root, 'd-')), 'evidence.sqlite')

t.test('evidence in a file keeps the contract of evidence', async (t) => {
  evidenceContract(t, async (clock) =>
    openSqliteEvidence(await newFile(), { clock, log: createSilentLog() }),
  )
})

t.test('evidence in memory keeps the contract of evidence', async (t) => {
  evidenceContract(t, async (clock) => createMemoryEvidence(clock))
})
