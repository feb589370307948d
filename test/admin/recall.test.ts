import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { encodeBase64 } from '../../src/nix/base64.ts'
import { publicKeyOf } from '../../src/nix/signature.ts'
import type { Block, Blocked } from '../../src/policy/block.ts'
import type { NarStore } from '../../src/ports/nar-store.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import { TransferBrokenError } from '../../src/substituter/fetching/transfer.ts'
import { type AdminOptions, type AdminWorld, createAdminWorld } from '../fakes/admin-world.ts'
import { patternNar, randomBytes } from '../fakes/encode-nar.ts'
import {
  cacheFiles,
  fetchNar,
  gate,
  getNar,
  isSettled,
  never,
  openNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import type { Tap } from '../fakes/substituter-world.ts'
import { claimFor, keys, type TestClaim, upstreamWith } from '../fakes/test-claims.ts'
import { path } from '../nix/fixtures.ts'

const named = (digit: string, name: string, changes: Parameters<typeof claimFor>[1] = {}) =>
  claimFor(randomBytes(1000, Number(digit)), {
    storePath: path(`${digit.repeat(32)}-${name}`),
    url: `nar/${digit}.nar`,
    ...changes,
  })
const bad = named('1', 'xz-5.6.1')
const badBin = named('2', 'xz-5.6.1-bin')
const older = named('3', 'xz-5.4.6')
const other = named('4', 'xz-utils-5.6.1')
const ofB = named('5', 'zlib-1.3', { signers: [keys.b] })
const ofBoth = named('6', 'both-1', { signers: [keys.a, keys.b] })
const all = [bad, badBin, older, other, ofB, ofBoth]

const block = (blocked: Blocked, reason = 'CVE-2024-3094'): Block => ({ blocked, reason })
const badVersions = block({ kind: 'package', package: 'xz', versions: ['5.6.0', '5.6.1'] })
const hashOf = ({ key }: TestClaim) => key.storePathHash

/** A world in which six paths are stored, each fetched by a client of its own. */
async function filled(t: Tap, options: Partial<AdminOptions> = {}): Promise<AdminWorld> {
  const made = await createAdminWorld(t, {
    upstreams: [upstreamWith('a', ...all), upstreamWith('b', ofB, ofBoth)],
    ...options,
  })
  for (const [index, claim] of all.entries()) {
    await fetchNar(made, claim.key, `192.0.2.${index + 1}`)
  }
  await made.transfers.idle()
  return made
}

const stillStored = async (made: AdminWorld): Promise<readonly TestClaim[]> => {
  const files = await cacheFiles(made)
  const left: TestClaim[] = []
  for (const claim of all) {
    const isRecorded = (await made.catalog.find(hashOf(claim))).length > 0
    const parts = files.filter((file) => file.startsWith(hashOf(claim)))
    if (parts.length !== (isRecorded ? 2 : 0)) throw new Error('files and records differ')
    if (isRecorded) left.push(claim)
  }
  return left
}

type Case = {
  readonly blocked: Blocked
  readonly recalled: readonly TestClaim[]
  readonly got: readonly TestClaim[]
}

const cases: Readonly<Record<string, Case>> = {
  'a package, all versions': {
    blocked: { kind: 'package', package: 'xz', versions: null },
    recalled: [bad, badBin, older],
    got: [bad, badBin, older],
  },
  'a package in some versions': {
    blocked: badVersions.blocked,
    recalled: [bad, badBin],
    got: [bad, badBin],
  },
  'a path': {
    blocked: { kind: 'path', baseName: bad.narinfo.storePath.baseName },
    recalled: [bad],
    got: [bad],
  },
  'a hash': { blocked: { kind: 'hash', hash: hashOf(other) }, recalled: [other], got: [other] },
  'a NAR': {
    blocked: { kind: 'nar-hash', narHash: `sha256:${older.key.narHash}` },
    recalled: [older],
    got: [older],
  },
  'a key: what it alone vouched for': {
    blocked: { kind: 'key', key: { ...publicKeyOf(keys.b), name: keys.b.name } },
    recalled: [ofB],
    got: [ofB],
  },
}

for (const [title, { blocked, recalled, got }] of Object.entries(cases)) {
  t.test(`a recall of ${title} is refused, purged, and tells who has it`, async (t) => {
    const made = await filled(t)
    const report = await made.admin.recall(block(blocked))
    const bytes = recalled.length > 0 ? report.purgedBytes : 0
    t.match(report, { isNew: true, purgedNars: recalled.length })
    t.ok(bytes > 0)
    t.same(
      report.served.map(({ path, client }) => `${client} ${path}`).sort(),
      got
        .map((claim) => `192.0.2.${all.indexOf(claim) + 1} ${claim.narinfo.storePath.baseName}`)
        .sort(),
    )
    const kept = all.filter((claim) => !recalled.includes(claim))
    t.same(await stillStored(made), kept)
    t.same(made.keeper.totals(), await made.catalog.totals())
    for (const claim of all) {
      const kind = recalled.includes(claim) ? 'absent' : 'found'
      t.equal((await made.substituter.narinfo(hashOf(claim))).kind, kind)
    }
    for (const { key } of recalled) t.equal((await getNar(made, key)).kind, 'absent')
    t.match(
      made.evidence.events.filter(({ kind }) => kind === 'recall'),
      [{ detail: /CVE-2024-3094$/ }],
    )
  })
}

t.test('what a key signed besides another one is recalled of those who believed it', async (t) => {
  const made = await filled(t)
  t.match(made.evidence.servedNars.find(({ hash }) => hash === hashOf(ofBoth))?.keys, [/^a\.test/])
  const { served } = await made.admin.recall(block({ kind: 'key', key: publicKeyOf(keys.a) }))
  t.notOk(served.some(({ hash }) => hash === hashOf(ofB)))
  t.match(await made.substituter.narinfo(hashOf(ofBoth)), { kind: 'found', upstream: 'b' })
  t.equal((await made.substituter.narinfo(hashOf(bad))).kind, 'absent')
  const keyBytes = encodeBase64(publicKeyOf(keys.a).bytes)
  t.equal(served.length, (await made.evidence.findServed({ keyBytes }, 100)).length)
})

t.test('a recall holds before its file is written', async (t) => {
  const [written, open] = [gate(), gate()]
  const made = await filled(t, {
    recalls: (recalls) => ({
      ...recalls,
      add: async (block) => {
        const added = recalls.add(block)
        written.resolve(undefined)
        await open.promise
        return added
      },
    }),
  })
  const reader = await openNar(made, bad.key)
  const recalling = made.admin.recall(badVersions)
  await written.promise
  t.notOk(await isSettled(recalling))
  t.equal((await made.substituter.narinfo(hashOf(bad))).kind, 'absent')
  t.equal((await getNar(made, bad.key)).kind, 'absent')
  await t.rejects(reader.body.read(Buffer.alloc(10), 0, never), TransferBrokenError)
  await reader.body[Symbol.asyncDispose]()
  open.resolve(undefined)
  t.equal((await recalling).isNew, true)
})

t.test('a recall holds where its file cannot be written, and says that it failed', async (t) => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const made = await filled(t, {
    recalls: (recalls) => ({
      ...recalls,
      add: async (block) => {
        await recalls.add(block)
        throw full
      },
    }),
  })
  await t.rejects(made.admin.recall(badVersions), full)
  t.equal((await made.substituter.narinfo(hashOf(bad))).kind, 'absent')
})

t.test('a recall holds after a restart, without the configuration', async (t) => {
  const catalog = openSqliteCatalog(':memory:')
  const made = await filled(t, { catalog })
  await made.admin.recall(badVersions)
  const upstreams = [upstreamWith('a', ...all)]
  const later = await createAdminWorld(t, { upstreams, catalog, dir: made.dir })
  t.equal((await later.substituter.narinfo(hashOf(bad))).kind, 'absent')
  t.strictSame(later.admin.recalls(), [badVersions])
})

t.test('the same recall again changes nothing, and lists the same clients', async (t) => {
  const made = await filled(t)
  const first = await made.admin.recall(badVersions)
  const { epoch } = made.live.current()
  const again = await made.admin.recall({ ...badVersions, reason: 'another reason' })
  t.match(again, { isNew: false, purgedNars: 0, purgedBytes: 0 })
  t.strictSame(again.served, first.served)
  t.equal(made.live.current().epoch, epoch)
})

t.test('a recall that is lifted is served again, fetched anew', async (t) => {
  const made = await filled(t)
  await made.admin.recall(badVersions)
  t.equal(await made.admin.lift(badVersions), true)
  t.equal(await made.admin.lift(badVersions), false)
  t.strictSame(made.admin.recalls(), [])
  t.match(await made.substituter.narinfo(hashOf(bad)), { kind: 'found', isStored: false })
  await storeNar(made, bad.key)
  t.match(await made.substituter.narinfo(hashOf(bad)), { kind: 'found', isStored: true })
  t.match(made.log.named('recall.lifted'), [{ recalled: 'package xz 5.6.0 5.6.1' }])
})

t.test('a recall of what is on its way ends it, and nothing is left', async (t) => {
  for (const where of ['before it is kept', 'while it is kept'] as const) {
    const [committing, open] = [gate(), gate()]
    let isHeld = true
    const store = (store: NarStore): NarStore => ({
      ...store,
      stage: async () => {
        const staged = await store.stage()
        return {
          ...staged,
          commit: async (key, narinfo) => {
            const before = where === 'while it is kept' ? await staged.commit(key, narinfo) : null
            committing.resolve(undefined)
            if (isHeld) await open.promise
            return before ?? (await staged.commit(key, narinfo))
          },
          [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
        }
      },
    })
    const made = await createAdminWorld(t, { upstreams: [upstreamWith('a', bad)], store })
    const reader = await openNar(made, bad.key)
    await committing.promise
    const report = await made.admin.recall(badVersions)
    t.match(report.served, [{ path: bad.narinfo.storePath.baseName, count: 1 }], 'its reader')
    await t.rejects(reader.body.read(Buffer.alloc(10), 0, never), TransferBrokenError)
    await reader.body[Symbol.asyncDispose]()
    isHeld = false
    open.resolve(undefined)
    await made.transfers.idle()
    t.same(await cacheFiles(made), [], where)
    t.same(await made.catalog.totals(), { count: 0, bytes: 0 })
    t.same(made.keeper.totals(), { count: 0, bytes: 0 })
    t.equal((await getNar(made, bad.key)).kind, 'absent')
  }
})

t.test('a recall goes through all that is stored, however much', async (t) => {
  const catalog = openSqliteCatalog(':memory:')
  const claim = claimFor(patternNar, { storePath: path(`${'0'.repeat(32)}-xz-5.6.1`) })
  const digits = '0123456789abcdfghijklmnpqrsvwxyz'
  for (const one of digits) {
    for (const two of digits) {
      const { key, text } = numberedBy(`${one}${two}`, claim)
      await catalog.put({
        ...{ key, upstream: 'a', claim: text, witnesses: [], certainIn: null, verifiedCa: null },
        ...{
          fileBytes: 10,
          diskBytes: 10,
          fileHash: 'sha256:0',
          etag: '"0"',
          storedAtMs: 1,
          usedAtMs: 1,
        },
      })
    }
  }
  const made = await createAdminWorld(t, { upstreams: [upstreamWith('a')], catalog })
  t.equal((await catalog.totals()).count, 1024)
  const report = await made.admin.recall(badVersions)
  t.match(report, { purgedNars: 1024, purgedBytes: 10_240, served: [] })
  t.same(await catalog.totals(), { count: 0, bytes: 0 })
})

/** The same claim for another path. */
function numberedBy(start: string, { narinfo }: TestClaim): TestClaim {
  return claimFor(patternNar, {
    storePath: path(`${start.padEnd(32, '0')}-${narinfo.storePath.name}`),
    signers: [],
  })
}

t.test('a file that somebody put beside is not served either', async (t) => {
  const made = await filled(t)
  const narinfo = join(made.dir, 'cache', `${hashOf(bad)}.narinfo`)
  const text = await readFile(narinfo)
  await made.admin.recall(badVersions)
  await writeFile(narinfo, text)
  t.equal((await made.substituter.narinfo(hashOf(bad))).kind, 'absent')
  t.equal((await getNar(made, bad.key)).kind, 'absent')
})
