import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import type { Block, Blocked } from '../../src/policy/block.ts'
import { SettingsError } from '../../src/settings/settings-error.ts'
import { openRecalls } from '../../src/state/recalls.ts'
import { storeDir } from '../nix/fixtures.ts'

const root = t.testdir()
const newFile = async (): Promise<string> => {
  const dir = join(await mkdtemp(join(root, 'd-')), 'state')
  await mkdir(dir)
  return join(dir, 'recalls.toml')
}
const block = (blocked: Blocked, reason = 'CVE-2024-3094'): Block => ({ blocked, reason })
const ofHash = (digit: string): Block => block({ kind: 'hash', hash: digit.repeat(32) })
const key = publicKeyOf(generateSecretKey('stolen-1'))
const kinds: readonly Block[] = [
  block({ kind: 'path', baseName: `${'0'.repeat(32)}-xz-5.6.1` }),
  ofHash('1'),
  block({ kind: 'package', package: 'xz', versions: ['5.6.0', '5.6.1'] }, `"quoted"\n'Ünï' # \\`),
  block({ kind: 'package', package: 'evil', versions: null }),
  block({ kind: 'key', key }),
  block({ kind: 'nar-hash', narHash: `sha256:${'0'.repeat(52)}` }),
]

/** Puts a file where the folder of the recalls was, so that nothing can be written, and takes it away again. */
const obstruct = async (file: string): Promise<void> => {
  await rm(join(file, '..'), { recursive: true })
  await writeFile(join(file, '..'), '')
}
const clear = async (file: string): Promise<void> => {
  await rm(join(file, '..'))
  await mkdir(join(file, '..'))
}

t.test('without a file nothing is recalled, and none is made', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  t.strictSame(recalls.blocks(), [])
  t.equal(await recalls.lift(ofHash('0')), false)
  await t.rejects(stat(file), { code: 'ENOENT' })
})

t.test('recalls of any kind are read back as they were added', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  for (const each of kinds) t.equal(await recalls.add(each), true)
  t.strictSame(recalls.blocks(), kinds)
  t.strictSame((await openRecalls(file, storeDir)).blocks(), kinds)
  t.equal((await stat(file)).mode & 0o777, 0o600)
})

t.test('a recall holds before it is written', async (t) => {
  const recalls = await openRecalls(await newFile(), storeDir)
  const added = recalls.add(ofHash('0'))
  t.strictSame(recalls.blocks(), [ofHash('0')])
  t.equal(await added, true)
})

t.test('the same is recalled once, whatever the reason or the key’s name', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  for (const each of kinds) await recalls.add(each)
  for (const each of kinds) t.equal(await recalls.add({ ...each, reason: 'another' }), false)
  const renamed = { ...key, name: 'renamed-1' }
  t.equal(await recalls.add(block({ kind: 'key', key: renamed })), false)
  t.strictSame(recalls.blocks(), kinds, 'the first reason stays')
  t.equal(await recalls.add(block({ kind: 'package', package: 'xz', versions: null })), true)
})

t.test('a recall that is lifted is gone, in the file too, and others are not', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  for (const digit of ['0', '1', '2']) await recalls.add(ofHash(digit))
  t.equal(await recalls.lift({ ...ofHash('1'), reason: 'another' }), true)
  t.equal(await recalls.lift(ofHash('1')), false)
  const left = [ofHash('0'), ofHash('2')]
  t.strictSame(recalls.blocks(), left)
  t.strictSame((await openRecalls(file, storeDir)).blocks(), left)
})

t.test('recalls at the same time are all written', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  const all = ['0', '1', '2', '3', '4'].map(ofHash)
  await Promise.all(all.map((each) => recalls.add(each)))
  t.strictSame((await openRecalls(file, storeDir)).blocks(), all)
})

t.test('a recall that could not be written holds, and is written by the next call', async (t) => {
  for (const next of ['again', 'another', 'a lift'] as const) {
    const file = await newFile()
    const recalls = await openRecalls(file, storeDir)
    await obstruct(file)
    await t.rejects(recalls.add(ofHash('0')), { code: 'ENOTDIR' })
    t.strictSame(recalls.blocks(), [ofHash('0')])
    await clear(file)
    if (next === 'again') t.equal(await recalls.add(ofHash('0')), false)
    if (next === 'another') t.equal(await recalls.add(ofHash('1')), true)
    if (next === 'a lift') t.equal(await recalls.lift(ofHash('1')), false)
    t.strictSame((await openRecalls(file, storeDir)).blocks(), recalls.blocks(), next)
  }
})

t.test('a recall that could not be taken back for good still holds', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  await recalls.add(ofHash('0'))
  await obstruct(file)
  await t.rejects(recalls.lift(ofHash('0')), { code: 'ENOTDIR' })
  t.strictSame(recalls.blocks(), [ofHash('0')])
})

t.test('a lift that fails takes nothing with it that was recalled meanwhile', async (t) => {
  const file = await newFile()
  const recalls = await openRecalls(file, storeDir)
  await recalls.add(ofHash('0'))
  await obstruct(file)
  const lifting = recalls.lift(ofHash('0'))
  const adding = recalls.add(ofHash('1'))
  await t.rejects(lifting, { code: 'ENOTDIR' })
  await t.rejects(adding, { code: 'ENOTDIR' })
  t.same(new Set(recalls.blocks()), new Set([ofHash('0'), ofHash('1')]))
  await clear(file)
  await recalls.add(ofHash('1'))
  t.strictSame((await openRecalls(file, storeDir)).blocks(), recalls.blocks())
})

t.test(
  'a damaged file clears nobody: it is refused with its place, and left as it is',
  async (t) => {
    const texts = ['no toml', '[[block]]\npackage = 1\n', '[other]\n', '[[block]]\nreason = "x"\n']
    for (const text of texts) {
      const file = await newFile()
      await writeFile(file, text)
      await t.rejects(openRecalls(file, storeDir), SettingsError, text)
      t.equal(await readFile(file, 'utf8'), text)
    }
    await t.rejects(openRecalls(join(await newFile(), '..'), storeDir), { code: 'EISDIR' })
  },
)
