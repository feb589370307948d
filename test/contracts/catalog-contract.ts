import type { Test } from 'tap'
import { type NarFileKey, narFileName } from '../../src/nix/nar-key.ts'
import type { Catalog, StoredClaim, StoredNar, UsedNar } from '../../src/ports/catalog.ts'
import { narKey } from './nar-store-contract.ts'

/** A record of the NAR that two characters stand for, with every field different from the others. */
export function record(path: string, nar: string, changes: Partial<StoredNar> = {}): StoredNar {
  return {
    key: narKey(path, nar),
    upstream: 'ours',
    claim: new Uint8Array([0, 255, 10, 13, 195, 40]),
    witnesses: [],
    certainIn: 'epoch-1',
    verifiedCa: null,
    fileBytes: 1000,
    diskBytes: 4096,
    fileHash: `sha256:${'2'.repeat(52)}`,
    etag: `"${'3'.repeat(52)}"`,
    storedAtMs: 1_700_000_000_001,
    usedAtMs: 1_700_000_000_002,
    ...changes,
  }
}

type Act = (t: Test, catalog: Catalog) => Promise<void>
type Behaves = (title: string, act: Act) => void

/** What every Catalog does; `open` gives an empty one. */
export function catalogContract(t: Test, open: () => Promise<Catalog>): void {
  const behaves: Behaves = (title, act) => {
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
  claimsContract(behaves)
  pagingContract(behaves)
  searchContract(behaves)
  touchingContract(behaves)
  countingContract(behaves)
  batchingContract(behaves)
  compressionContract(behaves)

  t.test('a closed catalog answers nothing', async (t) => {
    const catalog = await open()
    await catalog.close()
    await t.rejects(catalog.find(record('0', '0').key.storePathHash))
    await t.rejects(catalog.put(record('0', '0')))
  })
}

function findingContract(behaves: Behaves): void {
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
        diskBytes: Number.MAX_SAFE_INTEGER,
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
    t.equal(await catalog.put(record('0', '0', { diskBytes: 5 })), null)
    const second = record('0', '0', {
      upstream: 'theirs',
      claim: new Uint8Array([1]),
      fileBytes: 7,
      diskBytes: 8,
      fileHash: `sha256:${'4'.repeat(52)}`,
      etag: '"4"',
      storedAtMs: 1,
      usedAtMs: 2,
    })
    t.equal(await catalog.put(second), 5, 'what the first took on disk')
    t.strictSame(await catalog.find(second.key.storePathHash), [second])
    t.strictSame(await catalog.totals(), { count: 1, bytes: 8 })
  })

  behaves('a removed record is gone, and others are not', async (t, catalog) => {
    const kept = record('0', '1')
    await catalog.put(record('0', '0'))
    await catalog.put(kept)
    t.equal(await catalog.remove(record('0', '0').key), 4096)
    t.strictSame(await catalog.find(kept.key.storePathHash), [kept])
  })

  behaves(
    'removing tells what the NAR took on disk, and nothing where there was no record',
    async (t, catalog) => {
      await catalog.put(record('0', '0'))
      t.equal(await catalog.remove(record('0', '1').key), null, 'another NarHash')
      t.equal(await catalog.remove(record('1', '0').key), null, 'another store path')
      t.equal(await catalog.remove(record('0', '0').key), 4096)
      t.equal(await catalog.remove(record('0', '0').key), null, 'removed before')
    },
  )
}

function claimsContract(behaves: Behaves): void {
  const said = (upstream: string, ...claim: readonly number[]): StoredClaim => ({
    upstream,
    claim: new Uint8Array(claim),
  })

  behaves('witnesses are found as they were put, in their order', async (t, catalog) => {
    const stored = record('0', '0', {
      witnesses: [said('theirs', 0, 255), said('b'), said('a', 1)],
    })
    const samePath = record('0', '1', { witnesses: [said('theirs', 2)], storedAtMs: 1 })
    const other = record('1', '0', { usedAtMs: 1 })
    for (const each of [stored, samePath, other]) await catalog.put(each)
    t.strictSame(await catalog.find(stored.key.storePathHash), [stored, samePath])
    t.strictSame(await catalog.page(null, 9), [stored, samePath, other])
  })

  behaves('a record that is put again has its new witnesses alone', async (t, catalog) => {
    const samePath = record('0', '1', { witnesses: [said('theirs', 2)], storedAtMs: 1 })
    await catalog.put(record('0', '0', { witnesses: [said('theirs', 1), said('b', 1)] }))
    await catalog.put(samePath)
    const again = record('0', '0', { witnesses: [said('b', 2)] })
    await catalog.put(again)
    t.strictSame(await catalog.find(again.key.storePathHash), [again, samePath])
  })

  behaves('a removed record leaves no witnesses to the next one of its key', async (t, catalog) => {
    await catalog.put(record('0', '0', { witnesses: [said('theirs', 1)] }))
    await catalog.remove(record('0', '0').key)
    await catalog.put(record('0', '0'))
    t.strictSame(await catalog.find(record('0', '0').key.storePathHash), [record('0', '0')])
  })

  behaves('whether a record is certain is found as it was put last', async (t, catalog) => {
    const { storePathHash } = record('0', '0').key
    for (const certainIn of [null, 'epoch-1', 'epoch-2', null]) {
      const verifiedCa = certainIn === null ? null : 'fixed:r:sha256:0'
      const stored = record('0', '0', { certainIn, verifiedCa })
      await catalog.put(stored)
      t.strictSame(await catalog.find(storePathHash), [stored])
    }
  })

  behaves('a use changes neither witnesses nor certainty', async (t, catalog) => {
    const stored = record('0', '0', { witnesses: [said('theirs', 1)], certainIn: null })
    await catalog.put(stored)
    const usedAtMs = stored.usedAtMs + 1
    await catalog.touch([stored.key], usedAtMs)
    t.strictSame(await catalog.find(stored.key.storePathHash), [{ ...stored, usedAtMs }])
  })
}

function pagingContract(behaves: Behaves): void {
  const all = ['0', '1', '2'].flatMap((path) => ['0', '1'].map((nar) => record(path, nar)))
  const paged = async (catalog: Catalog, limit: number): Promise<readonly StoredNar[]> => {
    const found: StoredNar[] = []
    for (;;) {
      const page = await catalog.page(found.at(-1)?.key ?? null, limit)
      if (page.length === 0) return found
      found.push(...page)
    }
  }
  const inOrder = (found: readonly StoredNar[]): readonly StoredNar[] =>
    found.toSorted((one, other) => (narFileName(one.key) < narFileName(other.key) ? -1 : 1))

  behaves(
    'page by page every record is listed once, however many a page has',
    async (t, catalog) => {
      t.strictSame(await catalog.page(null, 10), [], 'none in an empty one')
      for (const stored of all) await catalog.put(stored)
      for (const limit of [1, 2, 3, 5, 6, 7]) {
        t.strictSame(inOrder(await paged(catalog, limit)), all, `${limit} a page`)
        t.ok((await catalog.page(null, limit)).length <= limit)
      }
    },
  )

  behaves('removing what a page listed skips nothing of the next ones', async (t, catalog) => {
    for (const stored of all) await catalog.put(stored)
    const listed: StoredNar[] = []
    for (let after: NarFileKey | null = null; ;) {
      const page: readonly StoredNar[] = await catalog.page(after, 2)
      const last = page.at(-1)
      if (last === undefined) break
      for (const { key } of page) await catalog.remove(key)
      listed.push(...page)
      after = last.key
    }
    t.strictSame(inOrder(listed), all)
    t.strictSame(await catalog.totals(), { count: 0, bytes: 0 })
  })
}

/** What eviction sees of a record. */
function used({ key, diskBytes, usedAtMs }: StoredNar): UsedNar {
  return { key, diskBytes, usedAtMs }
}

function byUse(catalog: Catalog, limit = 10): Promise<readonly UsedNar[]> {
  return catalog.leastRecentlyUsed(limit, null)
}

function touchingContract(behaves: Behaves): void {
  behaves('a use is noted in the records of its keys, and nowhere else', async (t, catalog) => {
    const [one, samePath, other] = [record('0', '0'), record('0', '1'), record('1', '0')]
    for (const each of [one, samePath, other]) await catalog.put(each)
    const usedAtMs = one.usedAtMs + 1000
    await catalog.touch([one.key, other.key], usedAtMs)
    t.strictSame(
      await byUse(catalog),
      [samePath, { ...one, usedAtMs }, { ...other, usedAtMs }].map(used),
    )
  })

  behaves('a use of a key without a record is passed over', async (t, catalog) => {
    const stored = record('0', '0')
    await catalog.put(stored)
    const usedAtMs = stored.usedAtMs + 1000
    await catalog.touch([record('1', '1').key, stored.key, record('2', '2').key], usedAtMs)
    t.strictSame(await byUse(catalog), [used({ ...stored, usedAtMs })])
  })

  behaves('noting no uses changes nothing', async (t, catalog) => {
    const stored = record('0', '0')
    await catalog.put(stored)
    await catalog.touch([], stored.usedAtMs + 1000)
    t.strictSame(await byUse(catalog), [used(stored)])
  })

  behaves('those used longest ago come first, whenever they were stored', async (t, catalog) => {
    const first = record('2', '0', { usedAtMs: 10, storedAtMs: 3 })
    const second = record('0', '0', { usedAtMs: 20, storedAtMs: 1 })
    const third = record('1', '0', { usedAtMs: 30, storedAtMs: 2 })
    for (const each of [third, first, second]) await catalog.put(each)
    t.strictSame(await byUse(catalog), [first, second, third].map(used))
    await catalog.touch([first.key], 40)
    t.strictSame(
      (await byUse(catalog)).map(({ key }) => key),
      [second.key, third.key, first.key],
    )
  })

  behaves('no more records are listed than the limit', async (t, catalog) => {
    const [first, second] = [record('0', '0', { usedAtMs: 1 }), record('1', '0', { usedAtMs: 2 })]
    await catalog.put(second)
    await catalog.put(first)
    t.strictSame(await byUse(catalog, 0), [])
    t.strictSame(await byUse(catalog, 1), [used(first)])
    t.strictSame(await byUse(catalog, 3), [used(first), used(second)])
  })

  behaves(
    'who reads on comes to each record once, those used at one time too',
    async (t, catalog) => {
      const all = ['0', '1', '2'].flatMap((path) =>
        ['0', '1'].map((nar) => record(path, nar, { usedAtMs: path === '2' ? 1 : 2 })),
      )
      for (const each of all) await catalog.put(each)
      for (const limit of [1, 2, 4, 7]) {
        const seen: UsedNar[] = []
        for (;;) {
          const some = await catalog.leastRecentlyUsed(limit, seen.at(-1) ?? null)
          if (some.length === 0) break
          seen.push(...some)
        }
        t.strictSame(
          seen.slice(0, 2).map(({ usedAtMs }) => usedAtMs),
          [1, 1],
        )
        t.equal(new Set(seen.map(({ key }) => narFileName(key))).size, all.length)
        t.equal(seen.length, all.length, `${limit} at a time`)
      }
    },
  )
}

function searchContract(behaves: Behaves): void {
  const named = (path: string, name: string): StoredNar => {
    const { storePathHash } = narKey(path, '0')
    const lines = [`StorePath: /nix/store/${storePathHash}-${name}`, 'References: glibc-2.39', '']
    return record(path, '0', { claim: Buffer.from(lines.join('\n')) })
  }

  behaves(
    'what has a text in its name is found, those recorded last first, a part at a time',
    async (t, catalog) => {
      const all = ['hello', 'glibc', 'hello-dev', 'xz'].map((name, index) =>
        named(String(index), name),
      )
      for (const each of all) await catalog.put(each)
      const find = async (text: string, span: number) => {
        const seen: string[] = []
        let before: number | null = null
        do {
          const { found, next } = await catalog.search({ text, before, span })
          for (const { stored, place } of found) {
            t.ok(before === null || place < before)
            seen.push(narFileName(stored.key))
          }
          before = next
        } while (before !== null)
        return seen
      }
      const files = (...indexes: readonly number[]) =>
        all.filter((_, index) => indexes.includes(index)).map(({ key }) => narFileName(key))
      for (const span of [1, 2, 3, 100]) {
        t.strictSame(await find('hello', span), files(0, 2).toReversed())
        t.strictSame(await find('glibc', span), files(1), 'references are no names')
        t.strictSame(await find('', span), files(0, 1, 2, 3).toReversed())
        t.strictSame(await find('Hello', span), [])
      }
    },
  )
}

function countingContract(behaves: Behaves): void {
  behaves('an empty catalog has no NARs and no bytes', async (t, catalog) => {
    t.strictSame(await catalog.totals(), { count: 0, bytes: 0 })
    t.strictSame(await byUse(catalog), [])
  })

  behaves('the totals follow what is put and removed', async (t, catalog) => {
    await catalog.put(record('0', '0', { diskBytes: 5_000_000_000 }))
    await catalog.put(record('0', '1', { diskBytes: 20 }))
    await catalog.put(record('1', '0', { diskBytes: 300 }))
    t.strictSame(await catalog.totals(), { count: 3, bytes: 5_000_000_320 })
    await catalog.remove(record('0', '1').key)
    t.strictSame(await catalog.totals(), { count: 2, bytes: 5_000_000_300 })
  })
}

function batchingContract(behaves: Behaves): void {
  const all = ['0', '1', '2', '3'].map((path) => record(path, '0'))

  behaves(
    'what is put at once is there for whoever asks next, in its order',
    async (t, catalog) => {
      const later = record('0', '0', { upstream: 'theirs' })
      const put = [...all, later].map((each) => catalog.put(each))
      t.strictSame(await catalog.find(later.key.storePathHash), [later], 'before it was awaited')
      t.strictSame(await catalog.totals(), { count: 4, bytes: 4 * later.diskBytes })
      await Promise.all(put)
      const removed = catalog.put(later).then(() => 'put')
      t.equal(await catalog.remove(later.key), later.diskBytes, 'put before it is removed')
      t.equal(await removed, 'put')
      t.strictSame(await catalog.find(later.key.storePathHash), [])
    },
  )

  behaves('records are listed page by page while others are put', async (t, catalog) => {
    const [first, second, third, fourth] = ['0', '1', '2', '3'].map((path) => record(path, '0'))
    for (const each of [first, third]) if (each !== undefined) await catalog.put(each)
    const put = [second, fourth].map((each) => each && catalog.put(each))
    const page = await catalog.page(null, 1)
    for (const each of put) await each
    t.strictSame(page, [first])
    t.strictSame(await catalog.page(page.at(-1)?.key ?? null, 10), [second, third, fourth])
  })

  behaves('only what has no record is recorded where that is asked', async (t, catalog) => {
    const witnesses = [{ upstream: 'b', claim: new Uint8Array([2]) }]
    const there = record('0', '0', { witnesses })
    const [found, other] = [
      record('0', '0', { upstream: 'theirs' }),
      record('1', '0', { witnesses }),
    ]
    await catalog.put(there)
    t.strictSame(await catalog.putMissing([found, other]), [other])
    t.strictSame(await catalog.page(null, 10), [there, other])
    t.strictSame(await catalog.putMissing([found, other]), [])
    t.strictSame(await catalog.putMissing([]), [])
  })

  behaves('an empty one is to be rebuilt, until it was', async (t, catalog) => {
    t.equal(await catalog.isRebuildDue(), true)
    await catalog.put(record('0', '0'))
    t.equal(await catalog.isRebuildDue(), true)
    await catalog.rebuilt()
    t.equal(await catalog.isRebuildDue(), false)
  })
}

function compressionContract(behaves: Behaves): void {
  behaves('one NAR in two compressions has two records', async (t, catalog) => {
    const zstd = record('0', '0', { storedAtMs: 2, witnesses: [] })
    const witnesses = [{ upstream: 'b', claim: new Uint8Array([2]) }]
    const xz = { ...record('0', '0', { storedAtMs: 1, witnesses }) }
    const other = { ...xz, key: { ...xz.key, compression: 'xz' } as const }
    await catalog.put(zstd)
    await catalog.put(other)
    t.strictSame(await catalog.find(zstd.key.storePathHash), [zstd, other])
    await catalog.touch([other.key], other.usedAtMs + 1)
    t.strictSame(await catalog.page(zstd.key, 10), [], 'xz comes first')
    t.equal(await catalog.remove(other.key), other.diskBytes)
    t.strictSame(await catalog.find(zstd.key.storePathHash), [zstd])
  })
}
