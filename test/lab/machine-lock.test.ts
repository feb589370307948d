import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { doOnce } from './machine-lock.ts'

t.test('work is done once, though several want it, and a dead owner holds nobody up', async (t) => {
  const place = t.testdir({})
  const lock = join(place, 'lock')
  const done = join(place, 'done')
  const isDone = () =>
    access(done).then(
      () => true,
      () => false,
    )
  // This process's number, but another start time: the owner before a restart of the machine.
  await mkdir(lock)
  await writeFile(join(lock, 'owner'), `${process.pid}-1`)
  let times = 0
  const work = async () => {
    times += 1
    await writeFile(done, '')
  }
  await Promise.all([1, 2, 3].map(() => doOnce(lock, isDone, work)))
  t.equal(times, 1)
  t.same((await readdir(place)).sort(), ['done', `lock.dead-${process.pid}-1`])
  const failing = doOnce(
    join(place, 'other'),
    async () => false,
    async () => {
      throw new Error('no luck')
    },
  )
  await t.rejects(failing, /no luck/)
  t.notOk((await readdir(place)).includes('other'), 'failed work leaves no lock')
})
