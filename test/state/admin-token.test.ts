import { chmod, mkdir, mkdtemp, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { isToken, readOrMakeAdminToken } from '../../src/state/admin-token.ts'
import { StateFileError } from '../../src/state/state-file-error.ts'

const root = t.testdir()
const newDir = (): Promise<string> => mkdtemp(join(root, 'd-'))
const newFile = async (): Promise<string> => join(await newDir(), 'state', 'admin-token')

t.test('a token is made at the first start, and kept', async (t) => {
  const file = await newFile()
  const token = await readOrMakeAdminToken(file)
  t.equal(Buffer.from(token, 'base64url').length, 32)
  t.match(token, /^[0-9A-Za-z_-]{43}$/)
  t.equal(await readOrMakeAdminToken(file), token)
  t.equal(await readFile(file, 'utf8'), `${token}\n`)
})

t.test('two tokens differ', async (t) => {
  t.not(await readOrMakeAdminToken(await newFile()), await readOrMakeAdminToken(await newFile()))
})

t.test('its file is for its owner alone, as is the folder that is made for it', async (t) => {
  const file = await newFile()
  await readOrMakeAdminToken(file)
  t.equal((await stat(file)).mode & 0o777, 0o600)
  t.equal((await stat(join(file, '..'))).mode & 0o777, 0o700)
})

t.test('a token that others may read is refused, with the remedy', async (t) => {
  const file = await newFile()
  const token = await readOrMakeAdminToken(file)
  for (const mode of [0o640, 0o604, 0o620, 0o610]) {
    await chmod(file, mode)
    const error: unknown = await readOrMakeAdminToken(file).catch((error: unknown) => error)
    t.ok(error instanceof StateFileError)
    t.ok(String(error).endsWith(`run chmod 600 ${file}`))
  }
  await chmod(file, 0o400)
  t.equal(await readOrMakeAdminToken(file), token)
})

t.test('a token of the operator is taken, with its line end or without', async (t) => {
  const file = join(await newDir(), 'admin-token')
  for (const token of ['a'.repeat(43), '0123456789abcdef'.repeat(4), '-_'.repeat(64)]) {
    for (const end of ['', '\n']) {
      await writeFile(file, token + end, { mode: 0o600 })
      t.equal(await readOrMakeAdminToken(file), token)
    }
  }
})

t.test('a file with anything else is refused, kept, and not quoted', async (t) => {
  const file = join(await newDir(), 'admin-token')
  const token = 'Secret'.repeat(8)
  const texts = [
    '',
    '\n',
    'short',
    'x'.repeat(42),
    `${token}\n${token}`,
    `${token}=`,
    token.repeat(9),
  ]
  for (const text of texts) {
    await writeFile(file, text, { mode: 0o600 })
    const error: unknown = await readOrMakeAdminToken(file).catch((error: unknown) => error)
    t.ok(error instanceof StateFileError, text)
    t.ok(String(error).includes(`remove it and Weir makes a new one`))
    t.notMatch(String(error), 'Secret')
    t.equal(await readFile(file, 'utf8'), text)
  }
})

t.test('what cannot be read is refused', async (t) => {
  const file = join(await newDir(), 'admin-token')
  await mkdir(file, { mode: 0o700 })
  await t.rejects(readOrMakeAdminToken(file), StateFileError)
})

t.test('a text is the token where it is the same, and nowhere else', async (t) => {
  const token = await readOrMakeAdminToken(await newFile())
  t.ok(isToken(token, token))
  for (const given of [
    '',
    ' ',
    token.slice(1),
    `${token}a`,
    `${token}\n`,
    token.toUpperCase(),
    'é',
  ]) {
    t.notOk(isToken(given, token), JSON.stringify(given))
  }
})
