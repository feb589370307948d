/** Files that are kept as they come, and those that are made anew. */
import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { createEncoder } from '../../src/ingest/encoders.ts'
import { keptEtag, madeEtag } from '../../src/ingest/representation.ts'
import {
  encodeNar,
  encodings,
  mixedNar,
  patternNar,
  randomBytes,
  smallNar,
} from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'
import {
  bigNar,
  brokenOff,
  chunkings,
  gives,
  isSame,
  randomSizes,
  seed,
} from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

const file = join(t.testdir(), 'nar.zst')

t.test('a zstd file with a FileHash is kept byte for byte, one without is recoded', async (t) => {
  const zstd = zstdCompressSync(bigNar, { params: { [constants.ZSTD_c_compressionLevel]: 7 } })
  const fileHash = sha256(zstd)
  for (const [name, sizes] of Object.entries(chunkings)) {
    if (name === 'single bytes') continue
    const kept = await runIngest(jobFor(bigNar, file), [
      { ...gives('zstd', zstd, sizes), fileHash },
    ])
    t.ok(isSame(kept.file, zstd), name)
    t.same(kept.outcome, {
      kind: 'verified',
      upstream: 'first',
      fileBytes: zstd.length,
      fileHash,
      etag: keptEtag(fileHash),
    })
  }
  const recoded = await runIngest(jobFor(bigNar, file), [gives('zstd', zstd)])
  const plain = await runIngest(jobFor(bigNar, file), [gives('none', bigNar)])
  t.ok(isSame(recoded.file, plain.file))
  t.same(recoded.outcome, plain.outcome)
})

t.test('the recoded file depends on the NAR and the level alone', async (t) => {
  for (const nar of [smallNar, patternNar, mixedNar(2 * 256 * 1024 - 112, seed), bigNar]) {
    const files = new Map<string, Buffer>()
    const etags = new Set<string>()
    for (const encoding of encodings) {
      if (encoding === 'bzip2' && nar !== smallNar && nar !== patternNar) continue
      const encoded = await encodeNar(encoding, nar)
      const sizes = nar === smallNar ? [1] : randomSizes(20_000)
      for (const cut of [sizes, [65_536], [Infinity]]) {
        for (const verifyFirst of [true, false]) {
          const run = await runIngest(jobFor(nar, file, { verifyFirst }), [
            gives(encoding, encoded, cut),
          ])
          if (!('fileHash' in run.outcome)) throw new Error(failureCodes(run).join())
          equal(run.outcome.fileBytes, run.file.length)
          equal(run.outcome.fileHash, sha256(run.file))
          etags.add(run.outcome.etag)
          files.set(run.outcome.fileHash, run.file)
        }
      }
    }
    t.same([...etags], [madeEtag(sha256(nar), 'zstd', 1)], `${nar.length} bytes: one ETag`)
    t.equal(files.size, 1, 'one file')
    t.ok(isSame(zstdDecompressSync(must([...files.values()][0])), nar))
  }
  const [one, three] = [
    await runIngest(jobFor(bigNar, file), [gives('none', bigNar)]),
    await runIngest(jobFor(bigNar, file, { zstdLevel: 3 }), [gives('none', bigNar)]),
  ]
  t.notOk(isSame(one.file, three.file), 'another level is another file')
  t.notSame(one.outcome, three.outcome)
})

t.test('the ETag names everything that the recoded bytes depend on', async (t) => {
  const hash = 'a'.repeat(52)
  const zstd = must(process.versions['zstd'])
  t.equal(madeEtag(`sha256:${hash}`, 'zstd', 3), `"${hash}-zstd${zstd}-3-1"`)
  t.equal(keptEtag(`sha256:${hash}`), `"${hash}"`)
})

t.test('the encoder takes NARs of more than 4 GiB', async (t) => {
  const chunks: Uint8Array[] = []
  const options = { narSize: 5 * 2 ** 30, zstdLevel: 1 }
  using encoder = await createEncoder('zstd', {
    ...options,
    onOutput: (chunk) => chunks.push(chunk),
  })
  // Its first output comes once a block is full.
  while (chunks.length === 0) await encoder.write(randomBytes(256 * 1024, seed))
  const head = Buffer.from(must(chunks[0]))
  t.equal(head.readUInt8(4) >> 6, 3, 'an 8-byte content size')
  t.equal(head.readBigUInt64LE(6), 5n * 2n ** 30n)
})

t.test(
  'what a transfer took is told of each source, right or wrong, and as it comes where it is much',
  async (t) => {
    const encoded = await encodeNar('xz', bigNar)
    const run = await runIngest(jobFor(bigNar, file), [
      { give: () => null },
      { give: () => brokenOff(encoded, 50_000) },
      gives('xz', encoded),
    ])
    t.match(run.events.slice(0, 3), [
      { kind: 'failed', failure: { upstream: 'first' } },
      { kind: 'fetched', upstream: 'second', bytes: 50_000 },
      { kind: 'failed', failure: { upstream: 'second' } },
    ])
    const told = run.events.slice(3).flatMap((event) => (event.kind === 'fetched' ? [event] : []))
    t.ok(told.length > 1 && told.every(({ upstream }) => upstream === 'third'))
    t.equal(
      told.reduce((sum, { bytes }) => sum + bytes, 0),
      encoded.length,
    )
  },
)
