import { spawnSync } from 'node:child_process'
import { mkdtemp, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { evidenceContract } from '../contracts/evidence-contract.ts'
import { once, servedNar, trustEvent } from '../contracts/evidence-fixtures.ts'
import { createMemoryEvidence } from '../fakes/memory-evidence.ts'
import type { SilentLog } from '../fakes/silent-log.ts'
import { change, openEvidence } from './open-evidence.ts'

const root = t.testdir()
const newFile = async (): Promise<string> =>
  join(await mkdtemp(join(root, 'd-')), 'evidence.sqlite')

const nar = servedNar('0', 'hello-2.12')

t.test('evidence in a file keeps the contract of evidence', async (t) => {
  evidenceContract(t, async (clock) => openEvidence(await newFile(), { clock }).evidence)
})

t.test('evidence in memory keeps the contract of evidence', async (t) => {
  evidenceContract(t, async (clock) => createMemoryEvidence(clock))

  t.test('and tells every note in order', async (t) => {
    const evidence = createMemoryEvidence()
    for (const each of [nar, servedNar('1', 'other'), nar]) evidence.served(each)
    evidence.happened(trustEvent())
    t.strictSame(evidence.servedNars, [nar, servedNar('1', 'other'), nar])
    t.strictSame(evidence.events, [trustEvent()])
  })
})

/** How many rows another connection sees. */
function rowsIn(file: string, table: 'served' | 'event' = 'served'): number {
  const database = new DatabaseSync(file, { readOnly: true })
  const row = database.prepare(`SELECT count(*) AS count FROM ${table}`).get()
  database.close()
  return Number(row?.['count'])
}

async function becomes(t: Test, what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000 && !condition(); tries += 1) await delay(5)
  t.ok(condition(), what)
}

t.test('what was noted is durable', async (t) => {
  t.test('not before it is written, in one transaction, and then for others too', async (t) => {
    const file = await newFile()
    const { evidence } = openEvidence(file)
    evidence.served(nar)
    evidence.served(servedNar('1', 'hello-2.13'))
    evidence.happened(trustEvent())
    t.equal(rowsIn(file), 0)
    await evidence.flush()
    t.equal(rowsIn(file), 2)
    t.equal(rowsIn(file, 'event'), 1)
    await evidence.close()
  })

  t.test('by itself after the interval, again and again', async (t) => {
    const file = await newFile()
    const { evidence, log } = openEvidence(file, { flushIntervalMs: 5 })
    evidence.served(nar)
    await becomes(t, 'the first is there', () => rowsIn(file) === 1)
    evidence.served(servedNar('1', 'hello-2.13'))
    evidence.happened(trustEvent())
    await becomes(t, 'the second is there', () => rowsIn(file) === 2)
    t.equal(rowsIn(file, 'event'), 1)
    await evidence.close()
    t.strictSame(log.events, [])
  })

  t.test('when it is closed', async (t) => {
    const file = await newFile()
    const { evidence, clock } = openEvidence(file)
    const atMs = clock.nowMs()
    evidence.served(nar)
    clock.advance(1000)
    await evidence.close()
    t.equal(rowsIn(file), 1)
    const again = openEvidence(file)
    t.strictSame(await again.evidence.findServed({}, 10), [once(nar, atMs)], 'as of its noting')
    await again.evidence.close()
  })

  t.test('in a process that is killed, and that process may end by itself', async (t) => {
    const file = await newFile()
    const inProcess = (then: string): number | null => {
      const url = new URL('../../src/store/sqlite/sqlite-evidence.ts', import.meta.url).href
      const script = `
        import { openSqliteEvidence } from ${JSON.stringify(url)}
        const [file, nar] = process.argv.slice(1)
        const evidence = openSqliteEvidence(file, { clock: { nowMs: Date.now }, log: console })
        evidence.served(JSON.parse(nar))
        ${then}`
      const args = ['--no-warnings', '--input-type=module', '-e', script, file]
      return spawnSync(process.execPath, [...args, JSON.stringify(nar)]).status
    }
    t.equal(inProcess(`await evidence.flush(); process.kill(process.pid, 'SIGKILL')`), null)
    const { evidence } = openEvidence(file)
    t.match(await evidence.findServed({}, 10), [{ ...nar, count: 1 }])
    await evidence.close()
    t.equal(inProcess(''), 0, 'the timer holds nobody up')
  })

  t.test('in a file for its owner alone', async (t) => {
    const file = await newFile()
    const { evidence } = openEvidence(file)
    await evidence.flush()
    for (const end of ['', '-wal']) t.equal((await stat(file + end)).mode & 0o777, 0o600)
    await evidence.close()
  })
})

const refuseWrites = `
  CREATE TRIGGER no_rows BEFORE INSERT ON served BEGIN SELECT RAISE(ABORT, 'the test says no'); END`

t.test('a write that fails', async (t) => {
  const failures = (log: SilentLog): number => log.named('evidence.failed').length

  t.test('is logged, and tried again with what came after', async (t) => {
    const file = await newFile()
    const { evidence, log } = openEvidence(file, { flushIntervalMs: 2 })
    change(file, refuseWrites)
    evidence.served(nar)
    evidence.happened(trustEvent())
    await becomes(t, 'it failed twice', () => failures(log) >= 2)
    t.match(log.events[0], { event: 'evidence.failed', waiting: 2, err: /the test says no/ })
    t.equal(rowsIn(file, 'event'), 0, 'nothing of it is written')
    evidence.served(nar)
    change(file, 'DROP TRIGGER no_rows')
    await becomes(t, 'it is written', () => rowsIn(file) === 1)
    t.equal(rowsIn(file, 'event'), 1)
    t.match(await evidence.findServed({}, 10), [{ ...nar, count: 2 }])
    await evidence.close()
  })

  t.test('since another holds the file, is a rejection where somebody waits', async (t) => {
    const file = await newFile()
    const { evidence, log } = openEvidence(file)
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    evidence.served(nar)
    await t.rejects(evidence.flush(), /database is locked/)
    await t.rejects(
      evidence.findServed({}, 10),
      /database is locked/,
      'nor is it left out in silence',
    )
    t.equal(failures(log), 2)
    other.exec('ROLLBACK')
    other.close()
    t.match(await evidence.findServed({}, 10), [nar])
    await evidence.close()
  })

  t.test('loses what has no room any more, and says how much', async (t) => {
    const file = await newFile()
    const { evidence, log } = openEvidence(file, { maxWaiting: 3 })
    change(file, refuseWrites)
    for (const hash of ['0', '1', '0', '2', '3', '4']) evidence.served(servedNar(hash, 'hello-2'))
    evidence.happened(trustEvent())
    await t.rejects(evidence.flush(), /the test says no/)
    t.strictSame(log.named('evidence.lost'), [
      { event: 'evidence.lost', records: 3, reason: 'full' },
    ])
    change(file, 'DROP TRIGGER no_rows')
    await evidence.flush()
    t.equal((await evidence.findServed({}, 10)).length, 3, 'the first are kept')
    evidence.happened(trustEvent())
    await evidence.close()
    t.equal(rowsIn(file, 'event'), 1, 'there is room again')
    t.equal(log.named('evidence.lost').length, 1)
  })

  t.test('at the end is a rejection, and closes', async (t) => {
    const file = await newFile()
    const { evidence, log } = openEvidence(file)
    change(file, refuseWrites)
    evidence.served(nar)
    await t.rejects(evidence.close(), /the test says no/)
    t.equal(failures(log), 1)
    await t.rejects(evidence.findServed({}, 10))
    await evidence.close()
  })

  t.test('since it is closed, is told to the log', async (t) => {
    const { evidence, log } = openEvidence(await newFile())
    await evidence.close()
    evidence.served(nar)
    evidence.happened(trustEvent())
    t.equal(log.named('evidence.lost').length, 2)
  })
})
