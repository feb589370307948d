import { spawnSync } from 'node:child_process'
import {
  access,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { parseCacheInfo } from '../../src/nix/cache-info.ts'
import { narFileName } from '../../src/nix/nar-key.ts'
import {
  formatSecretKey,
  generateSecretKey,
  sign,
  verifySignature,
} from '../../src/nix/signature.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { Log, LogEvent } from '../../src/ports/log.ts'
import { FolderLockedError, lockFolder } from '../../src/state/folder-lock.ts'
import {
  defaultKeyName,
  makeSigningKey,
  readSigningKey,
  SigningKeyError,
} from '../../src/state/signing-key.ts'
import { openDiskNarStore } from '../../src/store/disk/disk-nar-store.ts'
import { CatalogVersionError } from '../../src/store/sqlite/catalog-schema.ts'
import { openCatalog } from '../../src/store/sqlite/open-catalog.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { catalogContract, record } from '../contracts/catalog-contract.ts'
import {
  narinfoOf,
  narKey,
  narStoreContract,
  storedText,
  storeNar,
  textOf,
} from '../contracts/nar-store-contract.ts'
import { must, storeDir } from '../nix/fixtures.ts'
import { catalogVersion1 } from './catalog-version-1.ts'

const root = t.testdir()
const newDir = (): Promise<string> => mkdtemp(join(root, 'd-'))
const newFile = async (): Promise<string> => join(await newDir(), 'catalog.sqlite')

t.test('the store on a disk keeps the contract of NAR stores', async (t) => {
  let dir = ''
  narStoreContract(
    t,
    async () => {
      dir = await newDir()
      return openDiskNarStore(dir, storeDir)
    },
    () => openDiskNarStore(dir, storeDir),
  )
})

t.test('the store on a disk', async (t) => {
  const one = narKey('0', '0')
  const samePath = narKey('0', '1')
  const narinfoFile = `${one.storePathHash}.narinfo`

  t.test('is laid out as a Nix binary cache, from a folder that it makes', async (t) => {
    const dir = join(await newDir(), 'not', 'there')
    const store = await openDiskNarStore(dir, storeDir)
    const info = must(parseCacheInfo(await readFile(join(dir, 'nix-cache-info'), 'utf8')))
    t.equal(info.storeDir, storeDir)
    t.equal(info.wantMassQuery, true)
    await storeNar(store, one, 'abc')
    t.strictSame(await readdir(dir), ['.partial', narinfoFile, 'nar', 'nix-cache-info'].sort())
    t.strictSame(await readdir(join(dir, 'nar')), [narFileName(one)])
    t.equal(await readFile(join(dir, 'nar', narFileName(one)), 'utf8'), 'abc')
    t.equal(await readFile(join(dir, narinfoFile), 'utf8'), narinfoOf(one))
  })

  t.test('writes nix-cache-info anew at open', async (t) => {
    const dir = await newDir()
    await writeFile(join(dir, 'nix-cache-info'), 'StoreDir: /old\n')
    await openDiskNarStore(dir, storeDir)
    const info = must(parseCacheInfo(await readFile(join(dir, 'nix-cache-info'), 'utf8')))
    t.equal(info.storeDir, storeDir)
  })

  t.test('sweeps what a crash left in .partial, and nothing else', async (t) => {
    const dir = await newDir()
    const crashed = await openDiskNarStore(dir, storeDir)
    await storeNar(crashed, one, 'abc')
    const staged = await crashed.stage()
    await writeFile(staged.path, 'half a NAR')
    await mkdir(join(dir, '.partial', 'folder'))
    await writeFile(join(dir, '.partial', 'folder', 'file'), '')
    const store = await openDiskNarStore(dir, storeDir)
    t.strictSame(await readdir(join(dir, '.partial')), [])
    t.equal(await storedText(store, one), 'abc')
  })

  t.test('forgets what was interrupted long ago, and what is no note of it', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    await (await store.stage()).noteEtag(one, '"etag"')
    const partial = join(dir, '.partial')
    const note = must((await readdir(partial)).find((name) => name.endsWith('.etag')))
    await writeFile(join(partial, 'other.etag'), '"etag"')
    await writeFile(join(partial, note.replace(one.narHash, samePath.narHash)), 'x'.repeat(2000))
    await utimes(join(partial, note), new Date(0), new Date(0))
    t.same((await openDiskNarStore(dir, storeDir)).interrupted, [])
  })

  t.test('has a committed NAR and its narinfo after it was opened again', async (t) => {
    const dir = await newDir()
    await storeNar(await openDiskNarStore(dir, storeDir), one, 'abc')
    const reopened = await openDiskNarStore(dir, storeDir)
    t.equal(await storedText(reopened, one), 'abc')
    t.equal(await readFile(join(dir, narinfoFile), 'utf8'), narinfoOf(one))
  })

  t.test('holds nothing of a NAR that was staged and disposed of', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    {
      await using staged = await store.stage()
      await writeFile(staged.path, 'abc')
    }
    t.strictSame(await readdir(dir), ['.partial', 'nar', 'nix-cache-info'])
    t.strictSame(await readdir(join(dir, '.partial')), [])
    t.strictSame(await readdir(join(dir, 'nar')), [])
  })

  t.test('leaves nothing in .partial after a commit', async (t) => {
    const dir = await newDir()
    await storeNar(await openDiskNarStore(dir, storeDir), one, 'abc')
    t.strictSame(await readdir(join(dir, '.partial')), [])
  })

  t.test('removes a NAR with its narinfo under a reader, who reads to the end', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    await storeNar(store, one, 'abcdef')
    const file = must(await store.open(one))
    await store.remove(one)
    t.strictSame(await readdir(dir), ['.partial', 'nar', 'nix-cache-info'])
    t.strictSame(await readdir(join(dir, 'nar')), [])
    t.equal(await textOf(file), 'abcdef')
    await file.close()
  })

  t.test('takes what its blocks take on disk', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    await storeNar(store, one, 'abc')
    const files = [join(dir, 'nar', narFileName(one)), join(dir, narinfoFile)]
    const blocks = await Promise.all(files.map(async (file) => (await stat(file)).blocks * 512))
    t.ok(must(await store.measure(one)).diskBytes >= (blocks[0] ?? 0) + (blocks[1] ?? 0))
  })

  t.test('passes over files of others', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    await writeFile(join(dir, 'nar', `${'0'.repeat(52)}.nar.xz`), 'from nix copy')
    await writeFile(join(dir, 'notes.narinfo'), '')
    for await (const entry of store.entries()) t.equal(entry.kind, 'other')
  })

  t.test('keeps a narinfo that describes another NAR of the same path', async (t) => {
    const dir = await newDir()
    const store = await openDiskNarStore(dir, storeDir)
    await storeNar(store, one, 'abc')
    await storeNar(store, samePath, 'def')
    await store.remove(one)
    t.equal(await readFile(join(dir, narinfoFile), 'utf8'), narinfoOf(samePath))
    t.strictSame(await readdir(join(dir, 'nar')), [narFileName(samePath)])
    await store.remove(samePath)
    await t.rejects(access(join(dir, narinfoFile)), { code: 'ENOENT' })
  })
})

t.test('the catalog in a file keeps the contract of catalogs', async (t) => {
  catalogContract(t, async () => openSqliteCatalog(await newFile()))
})

t.test('the catalog in memory keeps the contract of catalogs', async (t) => {
  catalogContract(t, async () => openSqliteCatalog(':memory:'))
})

/** A log that keeps its errors. */
function errorLog(): Log & { readonly errors: readonly LogEvent[] } {
  const errors: LogEvent[] = []
  const ignore = (): void => undefined
  const error = (event: LogEvent): void => {
    errors.push(event)
  }
  return { errors, debug: ignore, info: ignore, warn: ignore, error }
}

const clock = { nowMs: () => 1234 }

t.test('the catalog in a file', async (t) => {
  t.test('has its records after it was opened again', async (t) => {
    const file = await newFile()
    const stored = record('0', '0')
    const log = errorLog()
    const first = await openCatalog(file, { clock, log })
    await first.put(stored)
    await first.close()
    const second = await openCatalog(file, { clock, log })
    t.strictSame(await second.find(stored.key.storePathHash), [stored])
    await second.close()
    t.strictSame(log.errors, [])
  })

  t.test(
    'of version 1 is brought to this version: its records are kept, and not certain',
    async (t) => {
      const file = await newFile()
      await writeFile(file, catalogVersion1)
      const log = errorLog()
      const expected = [
        record('0', '0', { certainIn: null, diskBytes: 1000 }),
        record('1', '0', {
          ...{ upstream: 'theirs', claim: new Uint8Array([1]), fileBytes: 20 },
          ...{ certainIn: null, diskBytes: 20 },
        }),
      ]
      for (const time of ['at once', 'opened again']) {
        const catalog = await openCatalog(file, { clock, log })
        t.strictSame(await catalog.page(null, 10), expected, time)
        t.strictSame(await catalog.totals(), { count: 2, bytes: 1020 })
        await catalog.close()
      }
      const catalog = await openCatalog(file, { clock, log })
      const again = record('0', '0', { witnesses: [{ upstream: 'b', claim: new Uint8Array([2]) }] })
      await catalog.put(again)
      t.strictSame(await catalog.find(again.key.storePathHash), [again])
      await catalog.close()
      t.strictSame(log.errors, [])
    },
  )

  t.test('is not opened, nor put aside, where a newer Weir wrote it', async (t) => {
    const file = await newFile()
    await openSqliteCatalog(file).close()
    const database = new DatabaseSync(file)
    database.exec('PRAGMA user_version = 1000')
    database.close()
    const log = errorLog()
    t.throws(() => openSqliteCatalog(file), CatalogVersionError)
    await t.rejects(openCatalog(file, { clock, log }), CatalogVersionError)
    t.strictSame(log.errors, [])
    await t.resolves(access(file))
    await t.rejects(access(`${file}.damaged-1234`), { code: 'ENOENT' })
  })

  const damages: Readonly<Record<string, (file: string) => Promise<void>>> = {
    'is no database': (file) => writeFile(file, 'not a database'.repeat(1000)),
    'was cut off': (file) => truncate(file, 5000),
    'lacks its table': async (file) => {
      const database = new DatabaseSync(file)
      database.exec('DROP TABLE nar')
      database.close()
    },
  }
  for (const [title, damage] of Object.entries(damages)) {
    t.test(`is put aside and made anew where it ${title}`, async (t) => {
      const file = await newFile()
      const before = openSqliteCatalog(file)
      await before.put(record('0', '0'))
      await before.close()
      await damage(file)
      const damaged = await readFile(file)
      const log = errorLog()
      const catalog = await openCatalog(file, { clock, log })
      await testAnew(t, catalog)
      await catalog.close()
      const aside = `${file}.damaged-1234`
      t.match(log.errors, [{ event: 'catalog.damaged', file, aside, err: Error }])
      t.ok((await readFile(aside)).equals(damaged))
      const again = await openCatalog(file, { clock, log })
      t.equal((await again.totals()).count, 1)
      await again.close()
      t.equal(log.errors.length, 1)
    })
  }
})

t.test('a catalog that turns out to be damaged while it is used', async (t) => {
  /** Records enough that their pages are not in memory, and one that damage is met with. */
  const damaged = async () => {
    const file = await newFile()
    const log = errorLog()
    let renewed = 0
    const first = await openCatalog(file, { clock, log })
    await first.rebuilt()
    const claim = new Uint8Array(100_000)
    for (const path of ['0', '1', '2']) await first.put(record(path, '0', { claim }))
    await first.close()
    const deps = { clock, log, renewed: () => (renewed += 1) }
    const catalog = await openCatalog(file, deps)
    const { size } = await stat(file)
    const handle = await open(file, 'r+')
    // All but the index that is read at the start, and the first page: the rows' own pages.
    for (let at = 4096 * 12; at < size; at += 4096)
      await handle.write(Buffer.alloc(4096, 0xff), 0, 4096, at)
    await handle.close()
    return { file, log, catalog, renewals: () => renewed }
  }

  t.test('is put aside, and a new one answers, which is to be rebuilt', async (t) => {
    const { file, log, catalog, renewals } = await damaged()
    await Promise.all(
      ['0', '1', '2'].map((path) => catalog.find(record(path, '0').key.storePathHash)),
    )
    t.equal(renewals(), 1, 'once, however many meet it')
    t.equal(await catalog.isRebuildDue(), true)
    await testAnew(t, catalog)
    await catalog.close()
    t.match(log.errors, [{ event: 'catalog.damaged', aside: `${file}.damaged-1234` }])
    const again = await openCatalog(file, { clock, log })
    t.equal((await again.totals()).count, 1)
    await again.close()
  })

  t.test('so that a row has no sense any more is put aside as well', async (t) => {
    const file = await newFile()
    const log = errorLog()
    const before = openSqliteCatalog(file)
    for (const path of ['0', '1']) await before.put(record(path, '0'))
    await before.close()
    const database = new DatabaseSync(file)
    // What a single bit makes of a letter.
    database.exec("UPDATE nar SET compression = 'zste' WHERE hash LIKE '0%'")
    database.close()
    const catalog = await openCatalog(file, { clock, log })
    t.strictSame(await catalog.leastRecentlyUsed(10, null), [], 'eviction goes on')
    t.equal(await catalog.isRebuildDue(), true)
    await testAnew(t, catalog)
    await catalog.close()
    t.match(log.errors, [{ event: 'catalog.damaged' }])
  })
})

async function testAnew(t: Test, catalog: Catalog): Promise<void> {
  t.strictSame(await catalog.totals(), { count: 0, bytes: 0 })
  const stored = record('1', '1')
  await catalog.put(stored)
  t.strictSame(await catalog.find(stored.key.storePathHash), [stored])
}

t.test('the lock of a folder', async (t) => {
  t.test('is held by one at a time, and is free again once disposed of', async (t) => {
    const dir = await newDir()
    {
      using locks = new DisposableStack()
      locks.use(lockFolder(dir))
      t.throws(() => lockFolder(dir), FolderLockedError)
      t.throws(() => lockFolder(dir), FolderLockedError, 'a refusal does not free it')
    }
    using locks = new DisposableStack()
    locks.use(lockFolder(dir))
    t.throws(() => lockFolder(dir), FolderLockedError)
  })

  t.test('keeps other processes out, and ends with a process that was killed', async (t) => {
    const dir = await newDir()
    const url = new URL('../../src/state/folder-lock.ts', import.meta.url).href
    const inProcess = (then: string): string => {
      const script = `
        import { lockFolder } from ${JSON.stringify(url)}
        try { lockFolder(process.argv[1]); ${then} } catch (error) { console.log(error.name) }`
      const args = ['--no-warnings', '--input-type=module', '-e', script, dir]
      return spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout
    }
    {
      using locks = new DisposableStack()
      locks.use(lockFolder(dir))
      t.equal(inProcess(''), 'FolderLockedError\n')
    }
    t.equal(inProcess(`console.log('held'); process.kill(process.pid, 'SIGKILL')`), 'held\n')
    using locks = new DisposableStack()
    locks.use(lockFolder(dir))
  })

  t.test('of one folder leaves others free', async (t) => {
    using locks = new DisposableStack()
    locks.use(lockFolder(await newDir()))
    const other = await newDir()
    t.doesNotThrow(() => {
      lockFolder(other)[Symbol.dispose]()
    })
  })
})

t.test('the signing key', async (t) => {
  const keyFile = async (): Promise<string> => join(await newDir(), 'state', 'key')

  t.test('is made for its owner alone, in a folder for its owner alone', async (t) => {
    const file = await keyFile()
    await makeSigningKey(file, 'weir.test-1')
    t.equal((await stat(file)).mode & 0o777, 0o600)
    t.equal((await stat(join(file, '..'))).mode & 0o777, 0o700)
  })

  t.test('is read back as it was made', async (t) => {
    const file = await keyFile()
    const made = await makeSigningKey(file, 'weir.test-1')
    const read = must(await readSigningKey(file))
    t.equal(read.name, 'weir.test-1')
    t.ok(verifySignature(made.publicKey, 'message', sign(read, 'message')))
    t.equal(await readFile(file, 'utf8'), `${formatSecretKey(made)}\n`)
  })

  t.test('that nix made is read, with its line end or without', async (t) => {
    const file = join(await newDir(), 'key')
    const text = formatSecretKey(generateSecretKey('nix-1'))
    for (const end of ['', '\n']) {
      await writeFile(file, text + end, { mode: 0o600 })
      t.equal(formatSecretKey(must(await readSigningKey(file))), text)
    }
  })

  t.test('is null where there is no file', async (t) => {
    t.equal(await readSigningKey(await keyFile()), null)
  })

  for (const mode of [0o640, 0o604, 0o620, 0o610]) {
    t.test(`is refused where the mode of its file is 0${mode.toString(8)}`, async (t) => {
      const file = await keyFile()
      await makeSigningKey(file, 'weir.test-1')
      await chmod(file, mode)
      await t.rejects(readSigningKey(file), SigningKeyError)
      await chmod(file, 0o400)
      t.not(await readSigningKey(file), null, 'and taken once its owner alone reads it')
    })
  }

  t.test('is refused where the file holds anything else, and is not quoted', async (t) => {
    const file = join(await newDir(), 'key')
    const secret = formatSecretKey(generateSecretKey('weir.test-1'))
    for (const text of ['', 'garbage', secret.slice(0, -4), `${secret}\n${secret}`]) {
      await writeFile(file, text, { mode: 0o600 })
      const error = await readSigningKey(file).catch((error: unknown) => error)
      t.ok(error instanceof SigningKeyError)
      t.notMatch(String(error), secret.slice(12, 40))
    }
  })

  t.test('is refused where it cannot be read', async (t) => {
    await t.rejects(readSigningKey(await newDir()), SigningKeyError)
  })

  t.test('is not made over a file that exists', async (t) => {
    const file = await keyFile()
    await makeSigningKey(file, 'weir.test-1')
    const before = await readFile(file, 'utf8')
    await t.rejects(makeSigningKey(file, 'weir.test-2'), { code: 'EEXIST' })
    t.equal(await readFile(file, 'utf8'), before)
  })

  t.test("without a name is named after the machine, in a key name's characters", async (t) => {
    t.equal(defaultKeyName('host.example'), 'weir.host.example-1')
    t.equal(defaultKeyName('a:b c_d'), 'weir.a-b-c-d-1')
    t.equal(defaultKeyName(''), 'weir.localhost-1')
  })
})

t.test('the thread of checkpoints holds up who waits for it, and nobody else', async (t) => {
  const url = new URL('../../src/store/sqlite/checkpointer.ts', import.meta.url).href
  const run = (file: string, then: string) => {
    const script = `
      import { DatabaseSync } from 'node:sqlite'
      import { createCheckpointer } from ${JSON.stringify(url)}
      new DatabaseSync(process.argv[1]).exec('PRAGMA journal_mode = WAL; CREATE TABLE t (x)')
      const checkpointer = createCheckpointer(process.argv[1])
      await checkpointer.wrote(30_000)
      console.log('written')
      ${then}`
    const args = ['--no-warnings', '--input-type=module', '-e', script, file]
    const startedAt = performance.now()
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    return { stdout, status, ms: performance.now() - startedAt }
  }
  const left = run(await newFile(), '')
  t.match(left, { status: 0, stdout: 'written\n' })
  t.ok(left.ms < 4500, 'who has nothing left to do ends at once')
  const then = "checkpointer.wrote(4000); await checkpointer.close(); console.log('closed')"
  t.match(run(await newFile(), then), { status: 0, stdout: 'written\nclosed\n' })
})
