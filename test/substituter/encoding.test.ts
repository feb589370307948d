import { cp, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { initModule, unxzAsync, xzAsync } from 'node-liblzma/wasm'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { verifyStored } from '../../src/ingest/verify-stored.ts'
import { keptEtag, madeEtag } from '../../src/ingest/representation.ts'
import type { DecodableCompression } from '../../src/nix/compression.ts'
import { parseHash } from '../../src/nix/hash.ts'
import { narFileName, type NarFileKey } from '../../src/nix/nar-key.ts'
import { openSqliteCatalog } from '../../src/store/sqlite/sqlite-catalog.ts'
import type { VerifyStored } from '../../src/substituter/fetching/adopt-nar.ts'
import { TransferBrokenError } from '../../src/substituter/fetching/transfer.ts'
import { bodyOf, encodeNar, type Encoding, mixedNar, patternNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream, type FakeUpstream } from '../fakes/fake-upstream.ts'
import { sha256 } from '../fakes/ingest-run.ts'
import {
  cacheFiles,
  fetchNar,
  fetchNarinfo,
  gate,
  getNar,
  isSettled,
  never,
  openNar,
  readBody,
  resumeNar,
  storeNar,
} from '../fakes/substituter-client.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { type Tap, world, type World, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  type ClaimChanges,
  claimFor,
  down,
  field,
  keys,
  narsAsked,
  numbered,
  type TestClaim,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { must, path } from '../nix/fixtures.ts'

/** Larger than a few pieces of a body, in every compression. */
const bigNar = mixedNar(600_000, 1)
const otherNar = mixedNar(600_000, 2)
const files = {
  xz: await encodeNar('xz', bigNar),
  gzip: await encodeNar('gzip', bigNar),
  br: await encodeNar('br', bigNar),
  zstd: await encodeNar('zstd', bigNar),
  none: bigNar,
}
const otherXz = await encodeNar('xz', otherNar)
const patternBzip2 = await encodeNar('bzip2', patternNar)
await initModule()
/** The same NAR in another file. */
const newerXz = await xzAsync(bigNar, { preset: 3 })

const fileHashOf = (file: Uint8Array) => must(parseHash(sha256(file)))

/** A claim for `bigNar`, whose file is in a compression, and which says the file's hash unless told. */
function offer(
  compression: Encoding,
  file: Uint8Array,
  changes: ClaimChanges = {},
  nar: Uint8Array = bigNar,
): TestClaim {
  const said = { compression, url: `nar/file.${compression}`, fileHash: fileHashOf(file) }
  return { ...claimFor(nar, { ...said, ...changes }), nar: file }
}

const inXz = offer('xz', files.xz)
const { key } = inXz
const hash = key.storePathHash
const named = (compression: DecodableCompression): NarFileKey => ({ ...key, compression })
const xzKey = named('xz')
const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

/** A body of which two pieces come at once, and the rest when the gate opens that `between` returns. */
async function* inTwoParts(
  file: Uint8Array,
  between: () => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  yield* bodyOf(file.subarray(0, 131_072))
  await between()
  yield* bodyOf(file.subarray(131_072))
}

/** The verification of stored files, which waits for a gate. */
function gatedVerification(): {
  readonly verify: VerifyStored
  readonly open: () => void
  readonly begun: Promise<unknown>
} {
  const [begun, open] = [gate(), gate()]
  return {
    verify: async (...args) => {
      begun.resolve(undefined)
      await open.promise
      return await verifyStored(...args)
    },
    open: () => {
      open.resolve(undefined)
    },
    begun: begun.promise,
  }
}

/** Whether everything that was opened was closed, and nothing lies about. */
async function leavesNothing(
  t: { same(found: unknown, wanted: unknown, message: string): unknown },
  made: World,
): Promise<void> {
  await made.transfers.idle()
  t.same([made.store.openFiles, made.store.stagedFiles], [0, 0], 'nothing is left open')
}

t.test('a narinfo names the file that the setting asks for', async (t) => {
  const named = (narinfo: string) =>
    ['URL', 'Compression', 'FileHash'].map((name) => field(narinfo, name))
  const url = (compression: DecodableCompression, claim = inXz): string =>
    `nar/${narFileName({ ...claim.key, compression })}`

  t.test('before it is stored: zstd, or the upstream’s, whose FileHash is not said', async (t) => {
    for (const compression of ['xz', 'none', 'br', 'gzip', 'zstd'] as const) {
      const upstreams = [upstreamWith('a', offer(compression, files[compression]))]
      const zstd = await world(t, { upstreams })
      t.same(named(await fetchNarinfo(zstd, inXz)), [url('zstd'), 'zstd', null], compression)
      const asIs = await world(t, { upstreams, encoding: 'upstream' })
      t.same(named(await fetchNarinfo(asIs, inXz)), [url(compression), compression, null])
    }
    const undecodable = claimFor(bigNar, { compression: 'lz4' })
    const made = await world(t, {
      upstreams: [upstreamWith('a', undecodable)],
      encoding: 'upstream',
    })
    t.same(named(await fetchNarinfo(made, undecodable)), [url('zstd'), 'zstd', null], 'lz4')
  })

  t.test('once it is stored: the stored file, but zstd where the setting says so', async (t) => {
    const catalog = openSqliteCatalog(':memory:')
    const upstreams = [upstreamWith('a', inXz)]
    const made = await world(t, { upstreams, catalog, encoding: 'upstream' })
    await storeNar(made, xzKey)
    const stored = [url('xz'), 'xz', sha256(files.xz)]
    t.same(named(await fetchNarinfo(made, inXz)), stored)
    const again = { upstreams, catalog, dir: made.dir }
    const zstd = await world(t, again)
    t.same(named(await fetchNarinfo(zstd, inXz)), [url('zstd'), 'zstd', null])
    const file = await storeNar(zstd, key)
    const replaced = [url('zstd'), 'zstd', sha256(file)]
    t.same(named(await fetchNarinfo(zstd, inXz)), replaced)
    const back = await world(t, { ...again, encoding: 'upstream' })
    t.same(named(await fetchNarinfo(back, inXz)), replaced, 'there is nothing better than zstd')
  })
})

t.test('a file with a FileHash is copied', async (t) => {
  const copying = async (t: Tap, options: Partial<WorldOptions> = {}) => {
    const rest = gate()
    const a = upstreamWith('a', inXz)
    a.answers.nar = () => inTwoParts(files.xz, () => rest.promise)
    const verification = gatedVerification()
    const made = await world(t, {
      upstreams: [a],
      encoding: 'upstream',
      verifyFirstBytes: 0,
      verifyStored: verification.verify,
      ...options,
    })
    return { made, a, rest, verification }
  }

  t.test('released as it comes, joined while it comes, and kept once it is verified', async (t) => {
    const { made, a, rest, verification } = await copying(t)
    const first = await openNar(made, xzKey)
    t.equal(first.body.size, null, 'it still comes')
    const head = Buffer.alloc(65_536)
    t.equal(await first.body.read(head, 0, never), 65_536)
    t.ok(isSame(head, files.xz.subarray(0, 65_536)))
    const second = await openNar(made, xzKey)
    rest.resolve(undefined)
    for (const { body } of [first, second]) {
      t.ok(isSame(await readBody(body), files.xz))
      t.equal(body.etag, keptEtag(sha256(files.xz)))
      await body[Symbol.asyncDispose]()
    }
    await verification.begun
    t.same(await made.catalog.find(hash), [], 'nothing is recorded of what nobody has seen')
    t.equal((await cacheFiles(made)).length, 2, 'it lies aside, with a note of its ETag')
    verification.open()
    await leavesNothing(t, made)
    t.same(narsAsked(a).length, 1)
    t.same(await cacheFiles(made), [narFileName(xzKey), `${hash}.narinfo`].sort())
    const stored = await openNar(made, xzKey)
    t.equal(stored.isStored, true)
    await stored.body[Symbol.asyncDispose]()
  })

  t.test(
    'not served while it is verified: who asks waits for that, and not for the disk',
    async (t) => {
      const commit = gate()
      const { made, a, rest, verification } = await copying(t, {
        store: (store) => ({
          ...store,
          stage: async () => {
            const staged = await store.stage()
            const late: typeof staged.commit = async (...args) => {
              await commit.promise
              return await staged.commit(...args)
            }
            return { ...staged, commit: late }
          },
        }),
      })
      rest.resolve(undefined)
      await fetchNar(made, xzKey)
      await verification.begun
      const waiting = fetchNar(made, xzKey)
      t.notOk(await isSettled(waiting), 'it is not known to be right')
      verification.open()
      t.ok(isSame(await waiting, files.xz), 'it is right, and not yet on disk')
      t.same(await made.catalog.find(hash), [])
      commit.resolve(undefined)
      await leavesNothing(t, made)
      t.equal(narsAsked(a).length, 1)
    },
  )

  t.test('needs no place among the transfers while it is verified', async (t) => {
    const { made, rest, verification } = await copying(t, { maxTransfers: 1 })
    rest.resolve(undefined)
    await fetchNar(made, xzKey)
    await verification.begun
    t.ok(isSame(zstdDecompressSync(await fetchNar(made, key)), bigNar), 'another one comes in')
    verification.open()
    await leavesNothing(t, made)
    t.same(
      (await made.catalog.find(hash)).map((stored) => stored.key.compression),
      ['zstd'],
      'and of the two zstd is kept',
    )
    t.equal(made.keeper.totals().count, 1)
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`].sort())
  })

  t.test('not kept where it was recalled while it came, or while it was verified', async (t) => {
    const recall = { blocks: [{ blocked: { kind: 'hash', hash }, reason: 'recalled' }] } as const
    const coming = await copying(t)
    const cut = await openNar(coming.made, xzKey)
    await cut.body.read(Buffer.alloc(10), 0, never)
    coming.made.changePolicy(recall)
    await t.rejects(readBody(cut.body), TransferBrokenError)
    await cut.body[Symbol.asyncDispose]()
    coming.rest.resolve(undefined)
    const verifying = await copying(t)
    verifying.rest.resolve(undefined)
    await fetchNar(verifying.made, xzKey)
    await verifying.verification.begun
    verifying.made.changePolicy(recall)
    for (const { made, verification } of [coming, verifying]) {
      verification.open()
      await leavesNothing(t, made)
      t.same(await cacheFiles(made), [])
      t.same(await made.catalog.find(hash), [])
      t.match(await getNar(made, xzKey), { kind: 'absent' })
    }
  })

  t.test('left unverified where Weir is stopped', async (t) => {
    const { made, rest, verification } = await copying(t)
    rest.resolve(undefined)
    await fetchNar(made, xzKey)
    await verification.begun
    made.stopping.abort()
    verification.open()
    await leavesNothing(t, made)
    t.same(await cacheFiles(made), [])
    t.same(made.log.named('transfer.failed'), [])
  })
})

t.test('files are verified one at a time, but for those that somebody waits for', async (t) => {
  const begun: string[] = []
  const open = gate()
  const claims = [1, 2, 3].map((number) => {
    const nar = mixedNar(1000, number)
    return claimFor(nar, {
      storePath: path(`${'0'.repeat(31)}${number}-p${number}`),
      url: `nar/${number}.nar`,
      fileHash: fileHashOf(nar),
    })
  })
  const made = await world(t, {
    upstreams: [upstreamWith('a', ...claims)],
    encoding: 'upstream',
    verifyStored: async (file, compression, narinfo) => {
      begun.push(narinfo.storePath.name)
      await open.promise
      return await verifyStored(file, compression, narinfo)
    },
  })
  const keyOf = (number: number): NarFileKey => ({
    ...must(claims[number - 1]).key,
    compression: 'none',
  })
  for (const number of [1, 2, 3]) await fetchNar(made, keyOf(number))
  const untilBegun = async (count: number): Promise<void> => {
    while (begun.length < count) await setImmediate()
  }
  await untilBegun(1)
  t.notOk(await isSettled(untilBegun(2)), 'the others wait')
  const wanted = fetchNar(made, keyOf(3))
  await untilBegun(2)
  t.same(begun, ['p1', 'p3'], 'hurried')
  open.resolve(undefined)
  t.ok(isSame(await wanted, must(claims[2]).nar))
  await leavesNothing(t, made)
  t.same(begun, ['p1', 'p3', 'p2'])
  t.equal(made.keeper.totals().count, 3)
})

t.test('a copied file that turns out wrong', async (t) => {
  // What it says of its file is true; what it says of the NAR is not.
  const wrong = offer('xz', otherXz)
  const right = offer('xz', files.xz, { signers: [keys.b], url: 'nar/b.xz' })
  const a = upstreamWith('a', wrong)
  const b = upstreamWith('b', right)
  const made = await world(t, { upstreams: [a, b], encoding: 'upstream' })
  await made.finder.inquire(hash).settled
  const begun = await openNar(made, xzKey)
  await begun.body.read(Buffer.alloc(10), 0, never)
  await begun.body[Symbol.asyncDispose]()
  await leavesNothing(t, made)
  t.same(await cacheFiles(made), [], 'is not kept')
  t.match(made.evidence.events, [{ kind: 'wrong-nar', hash, upstream: 'a' }])
  t.equal(made.evidence.events.length, 1)
  t.match(await resumeNar(made, xzKey), { kind: 'broken' }, 'is not gone on with')
  t.ok(isSame(await storeNar(made, xzKey), files.xz), 'is fetched from somebody else')
  t.same([narsAsked(a).length, narsAsked(b).length], [1, 1])
  t.match(await made.catalog.find(hash), [{ upstream: 'a', fileHash: sha256(files.xz) }])
})

t.test('a file that is not the one of its FileHash never completes', async (t) => {
  const lying = (url: string, signers = [keys.a]): TestClaim => ({
    ...offer('xz', files.xz, { url, signers }),
    nar: otherXz,
  })
  const a = upstreamWith('a', lying('nar/a.xz'))
  const made = await world(t, { upstreams: [a], encoding: 'upstream', verifyFirstBytes: 0 })
  const begun = await openNar(made, xzKey)
  await t.rejects(readBody(begun.body), TransferBrokenError)
  await begun.body[Symbol.asyncDispose]()
  t.match(await resumeNar(made, xzKey), { kind: 'broken' })
  t.match(await getNar(made, xzKey), { kind: 'failed', failure: { kind: 'corrupt' } })
  await leavesNothing(t, made)
  t.same(await cacheFiles(made), [])

  t.test('nor does another upstream begin anew what was handed out', async (t) => {
    const upstreams = [
      upstreamWith('a', lying('nar/a.xz')),
      upstreamWith('b', offer('xz', files.xz, { signers: [keys.b], url: 'nar/b.xz' })),
    ]
    const note = gate()
    const made = await world(t, {
      upstreams,
      encoding: 'upstream',
      verifyFirstBytes: 0,
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          // All has come and was found wrong before the first part may be read.
          return { ...staged, noteEtag: () => note.promise }
        },
      }),
    })
    await made.finder.inquire(hash).settled
    const answer = openNar(made, xzKey)
    while (made.evidence.events.length === 0) await isSettled(answer)
    note.resolve(undefined)
    const { body } = await answer
    await t.rejects(readBody(body), TransferBrokenError)
    await body[Symbol.asyncDispose]()
    t.same(
      upstreams.map((each) => narsAsked(each).length),
      [1, 0],
    )
    t.ok(isSame(await storeNar(made, xzKey), files.xz), 'a fresh one does')
    await leavesNothing(t, made)
  })
})

t.test(
  'a file without a FileHash is verified on its way: nothing is released before',
  async (t) => {
    const [half, rest] = [gate(), gate()]
    const a = upstreamWith('a', offer('xz', files.xz, { fileHash: null }))
    a.answers.nar = () =>
      inTwoParts(files.xz, () => {
        half.resolve(undefined)
        return rest.promise
      })
    const options: Partial<WorldOptions> = { encoding: 'upstream', verifyFirstBytes: 0 }
    const made = await world(t, { upstreams: [a], ...options })
    const whole = fetchNar(made, xzKey)
    await half.promise
    t.notOk(await isSettled(whole))
    t.equal(made.transfers.running(xzKey)?.transfer.released, 0)
    rest.resolve(undefined)
    t.ok(isSame(await whole, files.xz))
    await leavesNothing(t, made)
    t.match(await made.catalog.find(hash), [{ etag: keptEtag(sha256(files.xz)) }])

    const wrong = { ...offer('xz', files.xz, { fileHash: null }), nar: otherXz }
    const lied = await world(t, { upstreams: [upstreamWith('a', wrong)], ...options })
    t.match(await getNar(lied, xzKey), { kind: 'failed', failure: { kind: 'corrupt' } })
    await leavesNothing(t, lied)
    t.same(await cacheFiles(lied), [])
  },
)

const decoders: Record<Exclude<Encoding, 'bzip2'>, (file: Buffer) => Promise<Uint8Array>> = {
  xz: (file) => unxzAsync(file),
  gzip: (file) => Promise.resolve(gunzipSync(file)),
  br: (file) => Promise.resolve(brotliDecompressSync(file)),
  zstd: (file) => Promise.resolve(zstdDecompressSync(file)),
  none: (file) => Promise.resolve(file),
}

/** A world in which the NAR is stored in a compression, and whose upstream is down from then on. */
async function storedIn(
  t: Tap,
  compression: 'xz' | 'zstd',
  options: Partial<WorldOptions> = {},
): Promise<{ made: World; a: FakeUpstream; file: string }> {
  const catalog = openSqliteCatalog(':memory:')
  const a = upstreamWith('a', inXz)
  const encoding = compression === 'xz' ? 'upstream' : 'zstd'
  const before = await world(t, { upstreams: [a], catalog, encoding })
  await storeNar(before, named(compression))
  const gone = createFakeUpstream('a', { narinfo: down, nar: down })
  const made = await world(t, { upstreams: [gone], catalog, dir: before.dir, ...options })
  return { made, a: gone, file: join(made.dir, 'cache', 'nar', narFileName(named(compression))) }
}

t.test('a URL of the other setting works without any upstream', async (t) => {
  t.test('zstd is made of what is stored once, and takes its place', async (t) => {
    const { made } = await storedIn(t, 'xz', { verifyFirstBytes: 0 })
    const all = await Promise.all([1, 2, 3].map(() => fetchNar(made, key)))
    t.ok(all.every((file) => isSame(zstdDecompressSync(file), bigNar)))
    await leavesNothing(t, made)
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`].sort())
    const records = await made.catalog.find(hash)
    t.match(records, [{ key, upstream: 'a', etag: madeEtag(sha256(bigNar), 'zstd', 1) }])
    t.same(made.keeper.totals(), { count: 1, bytes: must(all[0]).length })
    t.same(made.keeper.totals(), await made.catalog.totals())
    const narinfo = must(await made.store.describe(hash))
    t.match(Buffer.from(narinfo).toString(), `URL: nar/${narFileName(key)}`)
    const stored = await openNar(made, key)
    t.equal(stored.isStored, true)
    await stored.body[Symbol.asyncDispose]()
  })

  t.test('any other one is made of zstd, and not kept', async (t) => {
    const { made } = await storedIn(t, 'zstd')
    for (const compression of ['xz', 'gzip', 'br', 'none'] as const) {
      const file = await fetchNar(made, named(compression))
      t.ok(isSame(await decoders[compression](file), bigNar), compression)
      t.match(await made.substituter.peek(named(compression)), { kind: 'found' })
    }
    await leavesNothing(t, made)
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`].sort())
    t.same((await made.catalog.find(hash)).length, 1)
  })

  t.test('bzip2 nobody makes', async (t) => {
    const { made } = await storedIn(t, 'zstd')
    t.not((await getNar(made, named('bzip2'))).kind, 'found')
    t.not((await made.substituter.peek(named('bzip2'))).kind, 'found')
    const claim = claimFor(patternNar)
    const a = upstreamWith('a', claim)
    const asked = await world(t, { upstreams: [a] })
    const bzip2 = { ...claim.key, compression: 'bzip2' } as const
    t.match(await getNar(asked, bzip2), { kind: 'failed', failure: { kind: 'absent' } })
    t.match(await asked.substituter.peek(bzip2), { kind: 'absent' })
    t.same(narsAsked(a), [], 'and so nothing is fetched for it')
    for (const world of [made, asked]) await leavesNothing(t, world)
  })

  t.test(
    'an upstream’s own file is preferred, and the stored one is there where that fails',
    async (t) => {
      const { made, a } = await storedIn(t, 'zstd')
      a.answers.narinfo = () => inXz.text
      a.answers.nar = () => bodyOf(files.xz)
      t.ok(isSame(await fetchNar(made, xzKey), files.xz))
      await leavesNothing(t, made)
      t.same((await made.catalog.find(hash)).length, 1, 'and is not kept beside it')
      a.answers.nar = down
      t.ok(isSame(await decoders.xz(await fetchNar(made, xzKey)), bigNar))
      await leavesNothing(t, made)
    },
  )

  t.test('not one that is recalled while it is made', async (t) => {
    const { made } = await storedIn(t, 'xz', {
      store: (store) => ({
        ...store,
        stage: async () => {
          const staged = await store.stage()
          const commit: typeof staged.commit = async (...args) => {
            made.changePolicy({ blocks: [{ blocked: { kind: 'hash', hash }, reason: 'recalled' }] })
            return await staged.commit(...args)
          }
          return { ...staged, commit }
        },
      }),
    })
    // The policy changes under the one that asks, too.
    t.not((await getNar(made, key)).kind, 'found')
    await leavesNothing(t, made)
    t.not((await getNar(made, key)).kind, 'found')
    t.not((await getNar(made, xzKey)).kind, 'found')
    t.notOk((await cacheFiles(made)).includes(narFileName(key)))
  })
})

t.test(
  'a stored file that is damaged, or gone, is forgotten, and the NAR is fetched',
  async (t) => {
    const harms = { gone: rm, cut: (file: string) => truncate(file, 100_000) }
    for (const [name, harm] of Object.entries(harms)) {
      const { made, a, file } = await storedIn(t, 'xz')
      await harm(file)
      t.not((await getNar(made, key)).kind, 'found', `${name}, while nobody has it`)
      await leavesNothing(t, made)
      t.same(await made.catalog.find(hash), [], name)
      t.same(made.keeper.totals(), { count: 0, bytes: 0 })
      a.answers.narinfo = () => inXz.text
      a.answers.nar = () => bodyOf(files.xz)
      t.ok(isSame(zstdDecompressSync(await storeNar(made, key)), bigNar), `${name}: fetched`)
      const again = await storedIn(t, 'xz')
      await harm(again.file)
      again.a.answers.narinfo = () => inXz.text
      again.a.answers.nar = () => bodyOf(files.xz)
      t.ok(isSame(zstdDecompressSync(await fetchNar(again.made, key)), bigNar), `${name}: at once`)
      await leavesNothing(t, again.made)
    }
  },
)

t.test('a resume', async (t) => {
  const readHead = async (made: World, wanted: NarFileKey): Promise<void> => {
    const { body } = await openNar(made, wanted)
    await body.read(Buffer.alloc(1000), 0, never)
    await body[Symbol.asyncDispose]()
    await made.transfers.idle()
  }

  t.test('goes on in the same representation, and never in another one', async (t) => {
    const a = upstreamWith('a', inXz)
    const made = await world(t, { upstreams: [a], encoding: 'upstream' })
    await readHead(made, xzKey)
    const same = await resumeNar(made, xzKey)
    t.match(same, { kind: 'found' })
    if (same.kind === 'found') await same.body[Symbol.asyncDispose]()
    // It is stored no more, and the upstream has another file of the same NAR by now.
    await made.keeper.drop(must((await made.catalog.find(hash))[0]))
    const newer = offer('xz', newerXz)
    a.answers.narinfo = () => newer.text
    a.answers.nar = () => bodyOf(newer.nar)
    made.finder.forget(hash)
    t.match(await resumeNar(made, xzKey), { kind: 'broken' })
    t.ok(isSame(await fetchNar(made, xzKey), newer.nar), 'a fresh one is had')
    await leavesNothing(t, made)
  })

  t.test('knows after a crash what was handed out before it', async (t) => {
    const rest = gate()
    const a = upstreamWith('a', inXz)
    a.answers.nar = () => inTwoParts(files.xz, () => rest.promise)
    const crashed = await world(t, {
      ...{ upstreams: [a], verifyFirstBytes: 0 },
      encoding: 'upstream',
    })
    const { body } = await openNar(crashed, xzKey)
    const { dir } = crashed
    for (const [isSameFile, claim] of [
      [false, offer('xz', newerXz)],
      [true, inXz],
    ] as const) {
      const copy = workFolder(t)
      await cp(dir, copy, { recursive: true })
      const upstreams = [upstreamWith('a', claim)]
      const after = await world(t, { upstreams, dir: copy, encoding: 'upstream' })
      t.match(after.store.interrupted, [{ key: xzKey, etag: keptEtag(sha256(files.xz)) }])
      const resumed = await resumeNar(after, xzKey)
      t.equal(resumed.kind, isSameFile ? 'found' : 'broken')
      if (resumed.kind === 'found') {
        t.ok(isSame(await readBody(resumed.body, 65_536, 1000), files.xz.subarray(1000)))
        await resumed.body[Symbol.asyncDispose]()
      }
      await leavesNothing(t, after)
    }
    await body[Symbol.asyncDispose]()
    rest.resolve(undefined)
  })
})

t.test('a file in bzip2 is had as the upstream has it, and made into zstd', async (t) => {
  const claim = offer('bzip2', patternBzip2, {}, patternNar)
  const made = await world(t, { upstreams: [upstreamWith('a', claim)], encoding: 'upstream' })
  const bzip2 = { ...claim.key, compression: 'bzip2' } as const
  t.match(await made.substituter.peek(bzip2), { kind: 'found' })
  t.ok(isSame(await storeNar(made, bzip2), patternBzip2))
  t.ok(isSame(zstdDecompressSync(await storeNar(made, claim.key)), patternNar))
  t.match(await made.catalog.find(hash), [{ key: claim.key }])
  await leavesNothing(t, made)
})

t.test('no more is fetched than can be verified', async (t) => {
  const copied = (number: number): TestClaim => {
    const { narHash: fileHash } = numbered(number).narinfo
    return numbered(number, { fileHash, fileSize: 1000n })
  }
  const claims = [1, 2, 3, 4].map(copied)
  const upstream = upstreamWith('a', ...claims)
  const check = gate()
  const verifyStored = async (): Promise<boolean> => {
    await check.promise
    return true
  }
  const made = await world(t, {
    ...{ upstreams: [upstream], encoding: 'upstream', maxTransfers: 1, verifyStored },
  })
  const fetch = ({ key }: TestClaim) => fetchNar(made, { ...key, compression: 'none' })
  for (const claim of claims.slice(0, 3)) t.equal((await fetch(claim)).length, claim.nar.length)
  const last = fetch(must(claims[3]))
  for (let turns = 0; turns < 50; turns += 1) t.equal(await isSettled(last), false)
  t.equal(narsAsked(upstream).length, 3)
  check.resolve(undefined)
  t.equal((await last).length, must(claims[3]).nar.length)
  await made.transfers.idle()
  t.match(made.keeper.totals(), { count: 4 })
})
