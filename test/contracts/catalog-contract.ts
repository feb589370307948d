import type { Test } from 'tap'
import type { Catalog, StoredNar } from '../../src/ports/catalog.ts'
import { narKey } from './nar-store-contract.ts'

/** A record of the NAR that two characters stand for, with every field different from the others. */
export function record(path: string, nar: string, changes: Partial<StoredNar> = {}): StoredNar {
  return {
    key: narKey(path, nar),
    upstream: 'ours',
    claim: new Uint8Array([0, 255, 10, 13, 195, 40]),
    witnesses: [],
    isCertain: true,
    fileBytes: 1000,
    fileHash: `sha256:${'2'.repeat(52)}`,
    etag: `"${'3'.repeat(52)}"`,
    storedAtMs: 1_700_000_000_001,
    usedAtMs: 1_700_000_000_002,
    ...changes,
  }
}

type Act = (t: Test, catalog: Catalog) => Promise<void>

/** What every Catalog does; `open` gives an empty one. */
export function catalogContract(t: Test, open: () => Promise<Catalog>): void {
  const behaves = (title: string, act: Act): void => {
    t.test(title, async (t) => {
      const catalog = await open()
      try {
        await act(t, catalog)
      } finally {
        await catalog.close()
      }
    })
  }
  findingContract(behaves)
  touchingContract(behaves)
  countingContract(behaves)

  t.test('a closed catalog answers nothing', async (t) => {
    const catalog = await open()
    await catalog.close()
    await t.rejects(catalog.find(record('0', '0').key.storePathHash))
    await t.rejects(catalog.put(record('0', '0')))
  })
}

function findingContract(behaves: (title: string, act: Act) => void): void {
  behaves('a store path without a NAR has an empty list', async (t, catalog) => {
    await catalog.put(record('1', '0'))
    t.strictSame(await catalog.find(record('0', '0').key.storePathHash), [])
  })

  behaves('a record is found as it was put, byte for byte', async (t, catalog) => {
    const stored = record('0', '0')
    await catalog.put(stored)
    t.strictSame(await catalog.find(stored.key.storePathHash), [stored])
  })

  behaves(
    'a record may have an empty claim, text of any kind and a big file',
    async (t, catalog) => {
      const stored = record('0', '0', {
        claim: new Uint8Array(),
        upstream: `Ünï'code" ; DROP TABLE nar; --`,
        fileBytes: Number.MAX_SAFE_INTEGER,
      })
      await catalog.put(stored)
      t.strictSame(await catalog.find(stored.key.storePathHash), [stored])
    },
  )

  behaves('all NARs of a store path are found, most recently stored first', async (t, catalog) => {
    const middle = record('0', '0', { storedAtMs: 20 })
    const newest = record('0', '1', { storedAtMs: 30, usedAtMs: 30 })
    const oldest = record('0', '2', { storedAtMs: 10, usedAtMs: 40 })
    for (const each of [middle, newest, oldest, record('1', '0')]) await catalog.put(each)
    t.strictSame(await catalog.find(middle.key.storePathHash), [newest, middle, oldest])
  })

  behaves('putting a key again replaces its record whole', async (t, catalog) => {
    await catalog.put(record('0', '0'))
    const second = record('0', '0', {
      upstream: 'theirs',
      claim: new Uint8Array([1]),
      fileBytes: 7,
      fileHash: `sha256:${'4'.repeat(52)}`,
      etag: '"4"',
      storedAtMs: 1,
      usedAtMs: 2,
    })
    await catalog.put(second)
    t.strictSame(await catalog.find(second.key.storePathHash), [second])
    t.strictSame(await catalog.totals(), { count: 1, bytes: 7 })
  })

  behaves('a removed record is gone, and others are not', async (t, catalog) => {
    const kept = record('0', '1')
    await catalog.put(record('0', '0'))
    await catalog.put(kept)
    t.equal(await catalog.remove(record('0', '0').key), true)
    t.strictSame(await catalog.find(kept.key.storePathHash), [kept])
  })

  behaves('removing says false where there was no record', async (t, catalog) => {
    await catalog.put(record('0', '0'))
    t.equal(await catalog.remove(record('0', '1').key), false, 'another NarHash')
    t.equal(await catalog.remove(record('1', '0').key), false, 'another store path')
    t.equal(await catalog.remove(record('0', '0').key), true)
    t.equal(await catalog.remove(record('0', '0').key), false, 'removed before')
  })
}

function touchingContract(behaves: (title: string, act: Act) => void): void {
  behaves('a use is noted in the records of its keys, and nowhere else', async (t, catalog) => {
    const [one, samePath, other] = [record('0', '0'), record('0', '1'), record('1', '0')]
    for (const each of [one, samePath, other]) await catalog.put(each)
    const usedAtMs = one.usedAtMs + 1000
    await catalog.touch([one.key, other.key], usedAtMs)
    t.strictSame(await catalog.leastRecentlyUsed(10), [
      samePath,
      { ...one, usedAtMs },
      { ...other, usedAtMs },
    ])
  })

  behaves('a use of a key without a record is passed over', async (t, catalog) => {
    const stored = record('0', '0')
    await catalog.put(stored)
    const usedAtMs = stored.usedAtMs + 1000
    await catalog.touch([record('1', '1').key, stored.key, record('2', '2').key], usedAtMs)
    t.strictSame(await catalog.leastRecentlyUsed(10), [{ ...stored, usedAtMs }])
  })

  behaves('noting no uses changes nothing', async (t, catalog) => {
    const stored = record('0', '0')
    await catalog.put(stored)
    await catalog.touch([], stored.usedAtMs + 1000)
    t.strictSame(await catalog.leastRecentlyUsed(10), [stored])
  })

  behaves('those used longest ago come first, whenever they were stored', async (t, catalog) => {
    const first = record('2', '0', { usedAtMs: 10, storedAtMs: 3 })
    const second = record('0', '0', { usedAtMs: 20, storedAtMs: 1 })
    const third = record('1', '0', { usedAtMs: 30, storedAtMs: 2 })
    for (const each of [third, first, second]) await catalog.put(each)
    t.strictSame(await catalog.leastRecentlyUsed(3), [first, second, third])
    await catalog.touch([first.key], 40)
    t.strictSame(
      (await catalog.leastRecentlyUsed(3)).map(({ key }) => key),
      [second.key, third.key, first.key],
    )
  })

  behaves('no more records are listed than the limit', async (t, catalog) => {
    const [first, second] = [record('0', '0', { usedAtMs: 1 }), record('1', '0', { usedAtMs: 2 })]
    await catalog.put(second)
    await catalog.put(first)
    t.strictSame(await catalog.leastRecentlyUsed(0), [])
    t.strictSame(await catalog.leastRecentlyUsed(1), [first])
    t.strictSame(await catalog.leastRecentlyUsed(3), [first, second])
  })
}

function countingContract(behaves: (title: string, act: Act) => void): void {
  behaves('an empty catalog has no NARs and no bytes', async (t, catalog) => {
    t.strictSame(await catalog.totals(), { count: 0, bytes: 0 })
    t.strictSame(await catalog.leastRecentlyUsed(10), [])
  })

  behaves('the totals follow what is put and removed', async (t, catalog) => {
    await catalog.put(record('0', '0', { fileBytes: 5_000_000_000 }))
    await catalog.put(record('0', '1', { fileBytes: 20 }))
    await catalog.put(record('1', '0', { fileBytes: 300 }))
    t.strictSame(await catalog.totals(), { count: 3, bytes: 5_000_000_320 })
    await catalog.remove(record('0', '1').key)
    t.strictSame(await catalog.totals(), { count: 2, bytes: 5_000_000_300 })
  })
}
