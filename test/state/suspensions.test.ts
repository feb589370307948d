import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { StateFileError } from '../../src/state/state-file-error.ts'
import { openSuspensions } from '../../src/state/suspensions.ts'

const root = t.testdir()
const newFile = async (): Promise<string> => join(await mkdtemp(join(root, 'd-')), 'suspended.json')
const acme = { upstream: 'acme', sinceMs: 1000, why: 'it lied about "nix"' }

/** Writing is impossible, for root too, until what is returned is called. */
async function obstruct(file: string): Promise<() => Promise<void>> {
  await mkdir(`${file}.new`)
  return () => rm(`${file}.new`, { recursive: true })
}

t.test('nothing is suspended where there is no file, and none is made', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  t.strictSame([...suspensions.names()], [])
  t.strictSame(suspensions.list(), [])
  t.equal(await suspensions.resume('acme'), false)
  await t.rejects(stat(file), { code: 'ENOENT' })
})

t.test('a suspension holds at once, and over restarts', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  const suspending = suspensions.suspend('acme', acme.why, acme.sinceMs)
  t.ok(suspensions.names().has('acme'), 'before anything is written')
  t.equal(await suspending, true)
  t.strictSame((await openSuspensions(file)).list(), [acme])
  t.ok((await openSuspensions(file)).names().has('acme'))
})

t.test('the file is for its owner alone, and nothing else is left', async (t) => {
  const file = await newFile()
  await writeFile(`${file}.new`, 'left by a crash', { mode: 0o666 })
  await (await openSuspensions(file)).suspend('acme', acme.why, acme.sinceMs)
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.strictSame(await readdir(join(file, '..')), ['suspended.json'])
  t.strictSame(JSON.parse(await readFile(file, 'utf8')), { version: 1, suspended: [acme] })
})

t.test('who is suspended already stays so, with the first time and reason', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  await suspensions.suspend('acme', acme.why, acme.sinceMs)
  t.equal(await suspensions.suspend('acme', 'another', 2000), false)
  t.strictSame(suspensions.list(), [acme])
  t.strictSame((await openSuspensions(file)).list(), [acme])
})

t.test('who is resumed is free at once, and after a restart', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  await suspensions.suspend('acme', acme.why, acme.sinceMs)
  await suspensions.suspend('other', 'too', 2000)
  const resuming = suspensions.resume('acme')
  t.strictSame([...suspensions.names()], ['other'])
  t.equal(await resuming, true)
  t.equal(await suspensions.resume('acme'), false)
  t.strictSame([...(await openSuspensions(file)).names()], ['other'])
})

t.test('those suspended longest ago come first', async (t) => {
  const suspensions = await openSuspensions(await newFile())
  await suspensions.suspend('late', '', 3000)
  await suspensions.suspend('acme', acme.why, acme.sinceMs)
  t.match(suspensions.list(), [{ upstream: 'acme' }, { upstream: 'late' }])
})

t.test('the set of names is another one when something changed, and only then', async (t) => {
  const suspensions = await openSuspensions(await newFile())
  const before = suspensions.names()
  await suspensions.resume('acme')
  t.equal(suspensions.names(), before)
  await suspensions.suspend('acme', acme.why, acme.sinceMs)
  t.not(suspensions.names(), before)
  t.equal(before.size, 0)
})

t.test('of many calls at the same time, each one counts, and the last wins', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  const names = Array.from({ length: 20 }, (_, index) => `upstream-${index}`)
  const all = names.map((name, index) => suspensions.suspend(name, '', index))
  const again = suspensions.suspend('upstream-0', '', 100)
  const resumed = [suspensions.resume('upstream-3'), suspensions.resume('upstream-3')]
  const suspendedAnew = suspensions.suspend('upstream-3', 'anew', 101)
  t.ok((await Promise.all(all)).every(Boolean))
  t.equal(await again, false)
  t.strictSame(await Promise.all(resumed), [true, false])
  t.equal(await suspendedAnew, true)
  const reopened = await openSuspensions(file)
  t.strictSame(reopened.list(), suspensions.list())
  t.equal(reopened.list().length, 20)
  t.match(reopened.list().at(-1), { upstream: 'upstream-3', why: 'anew' })
})

t.test('a suspension that cannot be written is a rejection, and holds in memory', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  const free = await obstruct(file)
  await t.rejects(suspensions.suspend('acme', acme.why, acme.sinceMs), { code: 'EISDIR' })
  t.ok(suspensions.names().has('acme'))
  await t.rejects(suspensions.suspend('acme', 'again', 2000), { code: 'EISDIR' }, 'still not')
  await free()
  t.equal(await suspensions.suspend('acme', 'again', 2000), false)
  t.strictSame((await openSuspensions(file)).list(), [acme], 'the next call makes up for it')
})

t.test('a failure is told to who asked, and not to who asks next', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  const free = await obstruct(file)
  const failing = suspensions.suspend('acme', acme.why, acme.sinceMs)
  await t.rejects(failing)
  await free()
  t.equal(await suspensions.suspend('other', '', 2000), true)
  t.strictSame([...(await openSuspensions(file)).names()], ['acme', 'other'])
})

t.test('who cannot be resumed for good stays suspended', async (t) => {
  const file = await newFile()
  const suspensions = await openSuspensions(file)
  await suspensions.suspend('acme', acme.why, acme.sinceMs)
  const free = await obstruct(file)
  await t.rejects(suspensions.resume('acme'), { code: 'EISDIR' })
  t.strictSame(suspensions.list(), [acme])
  t.ok(suspensions.names().has('acme'))
  await free()
  t.equal(await suspensions.resume('acme'), true)
  t.strictSame((await openSuspensions(file)).list(), [])
})

const damages: Readonly<Record<string, string>> = {
  empty: '',
  'cut off': JSON.stringify({ version: 1, suspended: [acme] }).slice(0, -3),
  'another document': '[]',
  'of another version': JSON.stringify({ version: 2, suspended: [] }),
  'without its list': JSON.stringify({ version: 1 }),
  'with more in it': JSON.stringify({ version: 1, suspended: [], more: 1 }),
  'with more in an entry': JSON.stringify({ version: 1, suspended: [{ ...acme, until: 1 }] }),
  'with a time of another kind': JSON.stringify({
    version: 1,
    suspended: [{ ...acme, sinceMs: '1000' }],
  }),
  'with an upstream twice': JSON.stringify({ version: 1, suspended: [acme, acme] }),
}

for (const [title, text] of Object.entries(damages)) {
  t.test(`a file that is ${title} is refused, and clears nobody`, async (t) => {
    const file = await newFile()
    await writeFile(file, text)
    const error: unknown = await openSuspensions(file).catch((error: unknown) => error)
    t.ok(error instanceof StateFileError)
    t.ok(String(error).includes(file))
    t.match(String(error), /restore it from a backup/)
    t.equal(await readFile(file, 'utf8'), text)
  })
}

t.test('a file that cannot be read is refused', async (t) => {
  const file = await newFile()
  await mkdir(file)
  await t.rejects(openSuspensions(file), StateFileError)
})
