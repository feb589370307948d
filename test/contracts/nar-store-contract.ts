import { once } from 'node:events'
import { access, readFile, writeFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import type { Test } from 'tap'
import { type NarFileKey, narFileName } from '../../src/nix/nar-key.ts'
import { maxNarinfoBytes } from '../../src/nix/narinfo.ts'
import type { NarFile, NarStore, StoreEntry } from '../../src/ports/nar-store.ts'
import { must, pathHash } from '../nix/fixtures.ts'

/** A key from one character for the store path's hash and one for the NarHash. */
export function narKey(path: string, nar: string): NarFileKey {
  return { storePathHash: pathHash(path.repeat(32)), narHash: nar.repeat(52), compression: 'zstd' }
}

/** As much of a narinfo as a store looks at. */
export function narinfoOf(key: NarFileKey): string {
  return `StorePath: /nix/store/${key.storePathHash}-name\nURL: nar/${narFileName(key)}\nCompression: zstd\n`
}

/** Stages a text and commits it. */
export async function storeNar(store: NarStore, key: NarFileKey, text: string): Promise<void> {
  await using staged = await store.stage()
  await writeFile(staged.path, text)
  await staged.commit(key, narinfoOf(key))
}

/** All of a file's bytes as text. */
export async function textOf(file: NarFile): Promise<string> {
  const buffer = Buffer.alloc(4)
  let text = ''
  let position = 0
  for (let read = await file.read(buffer, 0); read > 0; read = await file.read(buffer, position)) {
    text += buffer.toString('latin1', 0, read)
    position += read
  }
  return text
}

/** The text of a stored NAR; `null` where it is not stored. */
export async function storedText(store: NarStore, key: NarFileKey): Promise<string | null> {
  const file = await store.open(key)
  if (file === null) return null
  try {
    return await textOf(file)
  } finally {
    await file.close()
  }
}

const one = narKey('0', '0')
const samePath = narKey('0', '1')
const other = narKey('1', '0')

/** What every NarStore does; `open` gives an empty one, and `reopen` the one that was opened last after a crash. */
export function narStoreContract(
  t: Test,
  open: () => Promise<NarStore>,
  reopen: () => Promise<NarStore>,
): void {
  interruptedContract(t, open, reopen)
  readingContract(t, open)
  stagingContract(t, open)
  storingContract(t, open)
  describingContract(t, open)
  measuringContract(t, open)
}

function readingContract(t: Test, open: () => Promise<NarStore>): void {
  t.test('a file tells its size now, and the size follows what is written', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    const file = await staged.open()
    t.equal(await file.size(), 0)
    await writeFile(staged.path, 'first')
    t.equal(await file.size(), 5)
    await writeFile(staged.path, ' second', { flag: 'a' })
    t.equal(await file.size(), 12)
    await file.close()
  })

  t.test(
    'a read fills the buffer from the position and tells how many bytes it read',
    async (t) => {
      const store = await open()
      await storeNar(store, one, 'abcdef')
      const file = must(await store.open(one))
      const buffer = Buffer.alloc(4, '.')
      t.equal(await file.read(buffer, 1), 4)
      t.equal(buffer.toString(), 'bcde')
      t.equal(await file.read(buffer, 4), 2, 'fewer bytes before the end')
      t.equal(buffer.toString(), 'efde', 'the rest of the buffer is left alone')
      t.equal(await file.read(buffer, 0), 4, 'any position, in any order')
      t.equal(buffer.toString(), 'abcd')
      await file.close()
    },
  )

  t.test('a read at the end or past it gives 0, and bytes once they are written', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    await writeFile(staged.path, 'abc')
    const file = await staged.open()
    const buffer = Buffer.alloc(8)
    t.equal(await file.read(buffer, 3), 0)
    t.equal(await file.read(buffer, 1000), 0)
    await writeFile(staged.path, 'def', { flag: 'a' })
    t.equal(await file.read(buffer, 3), 3)
    t.equal(buffer.toString('latin1', 0, 3), 'def')
    await file.close()
  })

  t.test('files of one NAR are closed one by one', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    const first = must(await store.open(one))
    const second = must(await store.open(one))
    await first.close()
    await t.rejects(first.read(Buffer.alloc(1), 0))
    t.equal(await textOf(second), 'abc')
    await second.close()
  })
}

function stagingContract(t: Test, open: () => Promise<NarStore>): void {
  t.test('each staged file is new and empty', async (t) => {
    const store = await open()
    await using first = await store.stage()
    await writeFile(first.path, 'first')
    await using second = await store.stage()
    t.not(second.path, first.path)
    t.equal(await readFile(second.path, 'utf8'), '')
    t.equal(await readFile(first.path, 'utf8'), 'first')
  })

  t.test('a worker thread writes to the path of a staged file', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads')
       require('node:fs').writeFileSync(workerData, 'from a worker', { flag: 'r+' })`,
      { eval: true, workerData: staged.path },
    )
    await once(worker, 'exit')
    await staged.commit(one, narinfoOf(one))
    t.equal(await storedText(store, one), 'from a worker')
  })

  t.test('disposing of a staged file removes it', async (t) => {
    const store = await open()
    const staged = await store.stage()
    await writeFile(staged.path, 'abc')
    await staged[Symbol.asyncDispose]()
    await t.rejects(access(staged.path), { code: 'ENOENT' })
    t.equal(await store.open(one), null)
  })

  t.test('disposing of a staged file twice is disposing of it once', async (t) => {
    const store = await open()
    const staged = await store.stage()
    await staged[Symbol.asyncDispose]()
    await t.resolves(async () => {
      await staged[Symbol.asyncDispose]()
    })
  })

  t.test('disposing of a staged file that was committed leaves the NAR', async (t) => {
    const store = await open()
    const staged = await store.stage()
    await writeFile(staged.path, 'abc')
    await staged.commit(one, narinfoOf(one))
    await staged[Symbol.asyncDispose]()
    t.equal(await storedText(store, one), 'abc')
  })

  t.test('a reader of a staged file reads on after it was committed', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    const file = await staged.open()
    await writeFile(staged.path, 'abcdef')
    await staged.commit(one, narinfoOf(one))
    t.equal(await file.size(), 6)
    t.equal(await textOf(file), 'abcdef')
    await file.close()
  })

  t.test('a reader of a staged file reads on after it was disposed of', async (t) => {
    const store = await open()
    const staged = await store.stage()
    await writeFile(staged.path, 'abcdef')
    const file = await staged.open()
    await staged[Symbol.asyncDispose]()
    t.equal(await textOf(file), 'abcdef')
    await file.close()
  })

  t.test('a staged file is committed once: again is refused, and stores nothing', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    await writeFile(staged.path, 'abc')
    await staged.commit(one, narinfoOf(one))
    await t.rejects(staged.commit(other, narinfoOf(other)))
    t.equal(await store.open(other), null)
    t.equal(await storedText(store, one), 'abc')
  })

  t.test('a staged file that was disposed of is not committed any more', async (t) => {
    const store = await open()
    const staged = await store.stage()
    await staged[Symbol.asyncDispose]()
    await t.rejects(staged.commit(one, narinfoOf(one)))
    t.equal(await store.open(one), null)
  })
}

function storingContract(t: Test, open: () => Promise<NarStore>): void {
  t.test('a NAR is stored from its commit on, and not before', async (t) => {
    const store = await open()
    await using staged = await store.stage()
    await writeFile(staged.path, 'abc')
    t.equal(await store.open(one), null)
    await staged.commit(one, narinfoOf(one))
    t.equal(await storedText(store, one), 'abc')
  })

  t.test('a NAR is found by its whole key alone', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    t.equal(await store.open(samePath), null, 'another NarHash')
    t.equal(await store.open(other), null, 'another store path')
  })

  t.test('two NARs of one store path are stored side by side', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    await storeNar(store, samePath, 'def')
    t.equal(await storedText(store, one), 'abc')
    t.equal(await storedText(store, samePath), 'def')
  })

  t.test('a commit under a key that is stored replaces it under its readers', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    const file = must(await store.open(one))
    await storeNar(store, one, 'newer')
    t.equal(await textOf(file), 'abc')
    t.equal(await storedText(store, one), 'newer')
    await file.close()
  })

  t.test('a removed NAR is not stored, and others still are', async (t) => {
    const store = await open()
    for (const key of [one, samePath, other]) await storeNar(store, key, key.narHash)
    await store.remove(one)
    t.equal(await store.open(one), null)
    t.equal(await storedText(store, samePath), samePath.narHash)
    t.equal(await storedText(store, other), other.narHash)
  })

  t.test('a reader that has a NAR open is not disturbed by its removal', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abcdef')
    const file = must(await store.open(one))
    const start = Buffer.alloc(3)
    await file.read(start, 0)
    await store.remove(one)
    t.equal(await file.size(), 6)
    t.equal(await textOf(file), 'abcdef')
    await file.close()
  })

  t.test('removing a NAR that is not stored changes nothing', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    await t.resolves(store.remove(other))
    t.equal(await storedText(store, one), 'abc')
  })

  t.test('a NAR that was removed can be stored again', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    await store.remove(one)
    await storeNar(store, one, 'again')
    t.equal(await storedText(store, one), 'again')
  })
}

function describingContract(t: Test, open: () => Promise<NarStore>): void {
  const described = async (store: NarStore, key: NarFileKey): Promise<string | null> => {
    const text = await store.describe(key.storePathHash)
    return text && Buffer.from(text).toString()
  }

  t.test('a store path is described by the narinfo of its last commit', async (t) => {
    const store = await open()
    t.equal(await store.describe(one.storePathHash), null)
    await storeNar(store, one, 'abc')
    t.equal(await described(store, one), narinfoOf(one))
    t.equal(await store.describe(other.storePathHash), null, 'another store path')
    await storeNar(store, samePath, 'def')
    t.equal(await described(store, one), narinfoOf(samePath))
  })

  t.test('a narinfo is described from its commit on, byte for byte', async (t) => {
    const store = await open()
    const text = `${narinfoOf(one)}Deriver: Ünï.drv\n`
    await using staged = await store.stage()
    await writeFile(staged.path, 'abc')
    t.equal(await store.describe(one.storePathHash), null)
    await staged.commit(one, text)
    t.equal(await described(store, one), text)
  })

  t.test('a NAR that is removed takes its own narinfo with it alone', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    await storeNar(store, samePath, 'def')
    await store.remove(one)
    t.equal(await described(store, one), narinfoOf(samePath))
    await store.remove(samePath)
    t.equal(await store.describe(one.storePathHash), null)
  })

  t.test('a narinfo beyond the bounds of the format describes nothing', async (t) => {
    const store = await open()
    const within = narinfoOf(one).padEnd(maxNarinfoBytes, 'x')
    for (const [text, expected] of [
      [within, within],
      [`${within}x`, null],
    ] as const) {
      await using staged = await store.stage()
      await staged.commit(one, text)
      t.equal(await described(store, one), expected)
    }
  })
}

function interruptedContract(
  t: Test,
  open: () => Promise<NarStore>,
  reopen: () => Promise<NarStore>,
): void {
  const inXz: NarFileKey = { ...one, compression: 'xz' }

  t.test('a file that was handed out in part before a crash is told of, once', async (t) => {
    const store = await open()
    t.same(store.interrupted, [])
    const staged = await store.stage()
    await staged.noteEtag(one, '"first"')
    await staged.noteEtag(one, '"later"')
    await (await store.stage()).noteEtag(inXz, '"xz"')
    await store.stage()
    const reopened = await reopen()
    t.same(
      new Set(reopened.interrupted),
      new Set([
        { key: one, etag: '"later"' },
        { key: inXz, etag: '"xz"' },
      ]),
    )
    t.equal(await reopened.open(one), null, 'it is not stored')
    t.same((await reopen()).interrupted, [])
  })

  t.test('a file that was kept, or given up, is not told of', async (t) => {
    const store = await open()
    {
      await using kept = await store.stage()
      await kept.noteEtag(one, '"kept"')
      await kept.commit(one, narinfoOf(one))
      await using givenUp = await store.stage()
      await givenUp.noteEtag(other, '"given up"')
    }
    t.same((await reopen()).interrupted, [])
  })

  t.test('giving up one file of a name says nothing of another one', async (t) => {
    const store = await open()
    const earlier = await store.stage()
    await earlier.noteEtag(one, '"earlier"')
    const later = await store.stage()
    await later.noteEtag(one, '"later"')
    await earlier[Symbol.asyncDispose]()
    t.same((await reopen()).interrupted, [{ key: one, etag: '"later"' }])
  })

  t.test('a stored file is read by its path', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    t.equal(await readFile(store.pathOf(one), 'utf8'), 'abc')
    t.not(store.pathOf(inXz), store.pathOf(one), 'each representation has one of its own')
    await store.remove(one)
    await t.rejects(readFile(store.pathOf(one)), { code: 'ENOENT' })
  })

  t.test('two representations of a NAR are stored and removed on their own', async (t) => {
    const store = await open()
    await storeNar(store, inXz, 'xz')
    await storeNar(store, one, 'zstd')
    await store.remove(inXz)
    t.equal(await store.open(inXz), null)
    t.equal(await storedText(store, one), 'zstd')
    const text = await store.describe(one.storePathHash)
    t.equal(text && Buffer.from(text).toString(), narinfoOf(one), 'the later one describes it')
  })
}

function measuringContract(t: Test, open: () => Promise<NarStore>): void {
  t.test(
    'a NAR takes its length and its narinfo on disk at least, as its commit says',
    async (t) => {
      const store = await open()
      t.equal(await store.measure(one), null, 'it is not stored')
      await using staged = await store.stage()
      await writeFile(staged.path, 'x'.repeat(100_000))
      const before = Date.now()
      const diskBytes = await staged.commit(one, narinfoOf(one))
      t.ok(diskBytes >= 100_000 + narinfoOf(one).length)
      const measured = must(await store.measure(one))
      t.equal(measured.diskBytes, diskBytes)
      t.ok(Math.abs(measured.modifiedMs - before) < 60_000)
    },
  )

  t.test('a narinfo counts for the NAR that it describes alone', async (t) => {
    const store = await open()
    await storeNar(store, one, 'abc')
    const described = must(await store.measure(one)).diskBytes
    await storeNar(store, samePath, 'abc')
    t.ok(must(await store.measure(one)).diskBytes < described)
    t.equal(must(await store.measure(samePath)).diskBytes, described)
  })

  t.test('every NAR and narinfo is listed, and nothing else', async (t) => {
    const store = await open()
    const listed = async (): Promise<readonly string[]> => {
      const names: string[] = []
      for await (const entry of store.entries()) names.push(nameOf(entry))
      return names.sort()
    }
    t.strictSame(await listed(), [])
    for (const key of [one, samePath, other]) await storeNar(store, key, 'abc')
    await using staged = await store.stage()
    await writeFile(staged.path, 'half')
    const nars = [one, samePath, other].map(narFileName)
    t.strictSame(await listed(), [...nars, one.storePathHash, other.storePathHash].sort())
    for await (const entry of store.entries()) {
      if (entry.kind === 'nar') await store.remove(entry.key)
    }
    t.strictSame(await listed(), [], 'what is listed may be removed meanwhile')
  })

  t.test('its file system has some room, and not more than it is large', async (t) => {
    const { freeBytes, totalBytes } = await (await open()).space()
    t.ok(freeBytes > 0 && freeBytes <= totalBytes)
  })

  t.test('whether it can be written is tried without leaving anything', async (t) => {
    const store = await open()
    await store.tryOut()
    for await (const entry of store.entries()) t.fail(nameOf(entry))
  })
}

function nameOf(entry: StoreEntry): string {
  switch (entry.kind) {
    case 'nar':
      return narFileName(entry.key)
    case 'narinfo':
      return entry.hash
    case 'other':
      return entry.path
  }
}
