import { spawnSync } from 'node:child_process'
import { rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { maxNarinfoBytes, parseNarinfo } from '../../src/nix/narinfo.ts'
import { narFileName } from '../../src/nix/nar-key.ts'
import { generateSecretKey, parseSecretKey, formatSecretKey } from '../../src/nix/signature.ts'
import type { StoredNar } from '../../src/ports/catalog.ts'
import { recordKeyOf } from '../../src/state/record-key.ts'
import { openDiskNarStore } from '../../src/store/disk/disk-nar-store.ts'
import { recordsInFiles } from '../../src/store/disk/record-scan.ts'
import { scanRecords } from '../../src/store/disk/scan-records.ts'
import { createImportUpstream } from '../../src/store/import-upstream.ts'
import { openRecord, withoutRecord, withRecord } from '../../src/store/sealed-record.ts'
import { record } from '../contracts/catalog-contract.ts'
import { narinfoOf } from '../contracts/nar-store-contract.ts'
import { must, storeDir } from '../nix/fixtures.ts'
import { claimFor, keys } from '../fakes/test-claims.ts'
import { smallNar } from '../fakes/encode-nar.ts'
import { workFolder } from '../fakes/work-folder.ts'

const recordKey = recordKeyOf(keys.weir)
const narinfo = Buffer.from(claimFor(smallNar).text).toString()
const unused = ({ usedAtMs: _, diskBytes: __, ...sealed }: StoredNar) => sealed
const stored = record('0', '0', {
  witnesses: [{ upstream: 'b', claim: new Uint8Array([0, 200, 10]) }],
  verifiedCa: 'fixed:r:sha256:0',
})

t.test('a sealed record', async (t) => {
  t.test('is opened as it was sealed, whatever it holds', async (t) => {
    const claim = fc
      .tuple(fc.string(), fc.uint8Array({ maxLength: 300 }))
      .map(([upstream, claim]) => ({ upstream, claim }))
    const changes = fc.record({
      ...{ upstream: fc.string(), claim: fc.uint8Array({ maxLength: 300 }) },
      witnesses: fc.array(claim, { maxLength: 3 }),
      ...{ verifiedCa: fc.option(fc.string()), certainIn: fc.option(fc.string()) },
      ...{ fileBytes: fc.maxSafeNat(), fileHash: fc.string(), etag: fc.string() },
      storedAtMs: fc.maxSafeNat(),
    })
    fc.assert(
      fc.property(changes, (changed) => {
        const each = record('0', '0', changed)
        const opened = openRecord(withRecord(narinfo, each, recordKey), each.key, recordKey)
        t.strictSame(opened, unused(each))
      }),
      { numRuns: 200 },
    )
    t.pass('200 records')
  })

  t.test(
    'leaves the narinfo readable, is its last line, and replaces the one before',
    async (t) => {
      const sealed = withRecord(narinfo, stored, recordKey)
      t.ok(sealed.startsWith(narinfo))
      t.equal(parseNarinfo(Buffer.from(sealed), storeDir).kind, 'ok')
      const other = record('0', '0', { upstream: 'theirs' })
      const again = withRecord(sealed, other, recordKey)
      t.equal(again.split('X-Weir-Record').length, 2)
      t.strictSame(openRecord(again, other.key, recordKey), unused(other))
      t.equal(withoutRecord(again), narinfo)
    },
  )

  t.test('of which any byte is another one is none', async (t) => {
    const sealed = withRecord(narinfo, record('0', '0'), recordKey)
    const bytes = Buffer.from(sealed)
    for (let at = narinfo.length; at < bytes.length; at += 1) {
      for (const flip of [1, 2, 0x20]) {
        const mutant = Buffer.from(bytes)
        mutant[at] = must(bytes[at]) ^ flip
        if (openRecord(mutant.toString('latin1'), stored.key, recordKey) !== null) {
          t.fail(`byte ${at} xor ${flip} is accepted`)
        }
      }
      const cut = sealed.slice(0, at)
      if (openRecord(cut, stored.key, recordKey) !== null) t.fail(`cut at ${at} is accepted`)
    }
    t.strictSame(openRecord(`${sealed}Deriver: x\n`, stored.key, recordKey), null, 'not the last')
  })

  t.test("is none for another file, and none under another Weir's key", async (t) => {
    const sealed = withRecord(narinfo, stored, recordKey)
    for (const key of [
      record('0', '1').key,
      record('1', '0').key,
      { ...stored.key, compression: 'xz' } as const,
    ]) {
      t.equal(openRecord(sealed, key, recordKey), null)
    }
    const another = recordKeyOf(generateSecretKey('weir.test-1'))
    t.equal(openRecord(sealed, stored.key, another), null)
    t.equal(openRecord(narinfo, stored.key, recordKey), null)
    const renamed = must(parseSecretKey(formatSecretKey(keys.weir).replace('weir.', 'renamed.')))
    t.not(openRecord(sealed, stored.key, recordKeyOf(renamed)), null, 'the name is no part of it')
  })

  t.test('that would make the narinfo too long is left out', async (t) => {
    const claim = new Uint8Array(maxNarinfoBytes - 1000)
    t.equal(withRecord(narinfo, record('0', '0', { claim }), recordKey), narinfo)
  })

  t.test('is no part of what a narinfo claims', async (t) => {
    const described = withRecord(narinfo, stored, recordKey)
    const upstream = createImportUpstream({
      describe: () => Promise.resolve(Buffer.from(described)),
    })
    const { signal } = new AbortController()
    const claimed = await upstream.narinfo(stored.key.storePathHash, signal)
    t.equal(Buffer.from(must(claimed)).toString(), narinfo)
  })
})

t.test('a scan for records', async (t) => {
  const filled = async (count: number) => {
    const dir = workFolder(t)
    const store = await openDiskNarStore(dir, storeDir)
    const all = Array.from({ length: count }, (_, number) => {
      const digit = '0123456789abcdfg'.charAt(number)
      return record(digit, '0', { fileBytes: 3, storedAtMs: number })
    })
    for (const each of all) {
      await using staged = await store.stage()
      await writeFile(staged.path, 'abc')
      await staged.commit(each.key, withRecord(narinfoOf(each.key), each, recordKey))
    }
    return { dir, store, all, nar: (each: StoredNar) => join(dir, 'nar', narFileName(each.key)) }
  }
  const scanned = (dir: string) => {
    const batches = [...scanRecords(dir, recordKey)]
    return {
      records: batches.flatMap(({ records }) => records),
      unsealed: batches.reduce((sum, { unsealed }) => sum + unsealed, 0),
      wrongFiles: batches.reduce((sum, { wrongFiles }) => sum + wrongFiles, 0),
    }
  }

  t.test('finds the sealed ones whose files are there, used when they were read', async (t) => {
    const { dir, all, nar } = await filled(4)
    const [gone, cut, kept, used] = [must(all[0]), must(all[1]), must(all[2]), must(all[3])]
    await rm(nar(gone))
    await truncate(nar(cut), 2)
    await utimes(nar(kept), new Date(0), new Date())
    await utimes(nar(used), new Date(5000), new Date())
    await writeFile(join(dir, `${'5'.repeat(32)}.narinfo`), narinfoOf(record('5', '0').key))
    await writeFile(join(dir, `${'6'.repeat(32)}.narinfo`), 'nothing')
    const { records, ...counts } = scanned(dir)
    t.strictSame(
      records.toSorted((one, other) => one.storedAtMs - other.storedAtMs),
      [
        // A block for the NAR, one for the narinfo.
        { ...kept, usedAtMs: kept.storedAtMs, diskBytes: 8192 },
        { ...used, usedAtMs: 5000, diskBytes: 8192 },
      ],
    )
    t.strictSame(counts, { unsealed: 2, wrongFiles: 2 })
  })

  t.test('passes over a file that cannot be looked at', async (t) => {
    const { dir, all, nar } = await filled(2)
    const broken = must(all[0])
    await rm(nar(broken))
    await symlink(narFileName(broken.key), nar(broken))
    t.match(scanned(dir), { records: { length: 1 }, wrongFiles: 1 })
  })

  t.test('waits for no pipe, nor does the store', async (t) => {
    const { dir, store } = await filled(1)
    const { storePathHash } = record('5', '0').key
    spawnSync('mkfifo', [join(dir, `${storePathHash}.narinfo`)])
    t.match(scanned(dir), { records: { length: 1 }, unsealed: 0 })
    t.equal(Buffer.from(must(await store.describe(storePathHash))).toString(), '')
    const entries = []
    for await (const entry of store.entries()) entries.push(entry)
    t.equal(entries.length, 3)
  })

  t.test('passes over a narinfo that lies under another name', async (t) => {
    const { dir, all } = await filled(1)
    const text = withRecord(narinfoOf(must(all[0]).key), must(all[0]), recordKey)
    await writeFile(join(dir, `${'7'.repeat(32)}.narinfo`), text)
    t.match(scanned(dir), { records: { length: 1 }, unsealed: 1 })
  })

  t.test('is made by a thread, in batches, until nobody wants more', async (t) => {
    const { dir, all } = await filled(16)
    const { signal } = new AbortController()
    const found: StoredNar[] = []
    for await (const { records } of recordsInFiles({ dir, key: recordKey }, signal)) {
      found.push(...records)
    }
    t.equal(found.length, all.length)
    for await (const batch of recordsInFiles({ dir, key: recordKey }, signal)) {
      t.ok(batch)
      break
    }
    const abort = new AbortController()
    abort.abort()
    await t.rejects(async () => {
      await recordsInFiles({ dir, key: recordKey }, abort.signal).next()
    })
    const nowhere = recordsInFiles({ dir: join(dir, 'nowhere'), key: recordKey }, signal)
    await t.rejects(nowhere.next(), { message: 'the store cannot be scanned' })
  })

  t.test('a store lists what lies in it, and what does not belong there', async (t) => {
    const { dir, store, all } = await filled(2)
    const [one, other] = [must(all[0]), must(all[1])]
    await writeFile(join(dir, 'nar', 'what.txt'), '')
    await writeFile(join(dir, 'README'), '')
    await writeFile(join(dir, `${'7'.repeat(32)}.narinfo`), 'nothing')
    await store.quarantine(other.key, 'it is wrong')
    t.equal(await store.open(other.key), null)
    t.equal(await store.describe(other.key.storePathHash), null)
    const found = []
    for await (const entry of store.entries()) found.push(JSON.stringify(entry))
    const hash = one.key.storePathHash
    t.strictSame(
      found.sort(),
      [
        { kind: 'nar', key: one.key },
        { kind: 'narinfo', hash, describes: one.key },
        { kind: 'narinfo', hash: '7'.repeat(32), describes: null },
        ...['nar/what.txt', 'README', `quarantine/${narFileName(other.key)}`].map((path) => ({
          kind: 'other',
          path,
        })),
        { kind: 'other', path: `quarantine/${narFileName(other.key)}.txt` },
      ]
        .map((entry) => JSON.stringify(entry))
        .sort(),
    )
    t.equal((await stat(join(dir, 'quarantine', narFileName(other.key)))).size, 3)
  })

  t.test('a narinfo is replaced only where it describes that very file', async (t) => {
    const { store, all } = await filled(1)
    const { key } = must(all[0])
    t.equal(await store.redescribe(key, (text) => `${text}Deriver: x\n`), true)
    const described = Buffer.from(must(await store.describe(key.storePathHash))).toString()
    t.match(described, /Deriver: x\n$/)
    t.equal(await store.redescribe({ ...key, compression: 'xz' }, () => ''), false)
    t.equal(await store.redescribe(record('9', '0').key, () => ''), false)
    t.equal(Buffer.from(must(await store.describe(key.storePathHash))).toString(), described)
  })
})
