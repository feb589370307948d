/** Files that go on, and NARs larger than they were said to be. */
import { join } from 'node:path'
import { once } from 'node:events'
import type { Transform } from 'node:stream'
import {
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import { initModule, xzAsync } from 'node-liblzma/wasm'
import t from 'tap'
import { boundedBody } from '../../src/ingest/bounded-body.ts'
import type { Compression } from '../../src/nix/compression.ts'
import { bodyOf, encodeNar, randomBytes, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'
import { codeOf, collect, gives, peakGrowth, seed } from '../fakes/ingest-sources.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const file = join(t.testdir(), 'nar.zst')

t.test('a decompression bomb is stopped early, in little memory', async (t) => {
  const mebi = Buffer.alloc(2 ** 20)
  const stream = async (encoder: Transform) => {
    const encoded = collect(encoder)
    for (let count = 0; count < 200; count += 1) {
      if (!encoder.write(mebi)) await once(encoder, 'drain')
    }
    encoder.end()
    return encoded
  }
  await initModule()
  const xzMebi = await xzAsync(mebi, { preset: 1 })
  const bombs: Record<string, readonly [Compression, Buffer]> = {
    zstd: ['zstd', await stream(createZstdCompress())],
    'zstd in frames': [
      'zstd',
      Buffer.concat(Array.from({ length: 200 }, () => zstdCompressSync(mebi))),
    ],
    gzip: ['gzip', await stream(createGzip())],
    br: [
      'br',
      await stream(createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 3 } })),
    ],
    xz: ['xz', Buffer.concat(Array.from({ length: 200 }, () => xzMebi))],
  }
  for (const [name, [compression, bytes]] of Object.entries(bombs)) {
    for (const fileHash of [null, sha256(bytes)]) {
      const grown = await peakGrowth(async () => {
        const job = jobFor(smallNar, file, { narSize: 1000 })
        const run = await runIngest(job, [{ ...gives(compression, bytes), fileHash }])
        t.equal(run.outcome.kind, 'failed', name)
        t.same(failureCodes(run), ['too-long'], name)
        t.equal(run.file.length, 0, 'nothing was kept')
      })
      t.ok(grown < 64, `${name}: ${Math.round(grown)} MiB`)
    }
  }
})

t.test('a bzip2 bomb is stopped after the block that goes too far', async (t) => {
  // `head -c 45000000 /dev/zero | bzip2 -9`: one block, which the library decodes as a whole.
  const block = Buffer.from(
    'QlpoOTFBWSZTWckBtsgBWKtAIMAAEAAACCAAMMwFKaZSSFJsVJIUni7kinChIZIDbZA=',
    'base64',
  )
  const bomb = Buffer.concat(Array.from({ length: 1000 }, () => block))
  const job = jobFor(smallNar, file, { narSize: 1000 })
  const run = await runIngest(job, [gives('bzip2', bomb)])
  t.same(failureCodes(run), ['too-long'])
})

t.test('a file that does not end is left', async (t) => {
  const emptyXz = await initModule().then(() => xzAsync(new Uint8Array(0), { preset: 1 }))
  const skippable = Buffer.from('502a4d18' + '08000000' + '0000000000000000', 'hex')
  const emptyFrame = zstdCompressSync('')
  const emptyBzip2 = Buffer.from('425a683917724538509000000000', 'hex')
  const endless: Record<string, readonly [Compression, Buffer, Buffer, string | null]> = {
    none: ['none', Buffer.alloc(0), smallNar, null],
    'skippable zstd frames': ['zstd', Buffer.alloc(0), skippable, null],
    'skippable zstd frames, kept': ['zstd', Buffer.alloc(0), skippable, 'sha256:0'],
    'empty zstd frames': ['zstd', Buffer.alloc(0), emptyFrame, null],
    'empty zstd frames, kept': ['zstd', Buffer.alloc(0), emptyFrame, 'sha256:0'],
    'skippable zstd frames after the NAR': ['zstd', zstdCompressSync(smallNar), skippable, null],
    'skippable zstd frames after the NAR, kept': [
      'zstd',
      zstdCompressSync(smallNar),
      skippable,
      'sha256:0',
    ],
    'empty xz streams': ['xz', Buffer.alloc(0), Buffer.from(emptyXz), null],
    'xz padding': ['xz', Buffer.from(emptyXz), Buffer.alloc(4), null],
    'empty gzip members': ['gzip', Buffer.alloc(0), gzipSync(''), null],
    'empty bzip2 streams': ['bzip2', Buffer.alloc(0), emptyBzip2, null],
  }
  for (const [name, [compression, head, unit, fileHash]] of Object.entries(endless)) {
    const chunk = Buffer.concat(Array.from({ length: Math.ceil(4096 / unit.length) }, () => unit))
    let given = 0
    const give = async function* (): AsyncGenerator<Uint8Array> {
      if (head.length > 0) yield head
      for (;;) {
        given += chunk.length
        yield chunk
      }
    }
    const run = await runIngest(jobFor(smallNar, file), [{ compression, fileHash, give }])
    t.equal(run.outcome.kind, 'failed', name)
    t.ok(given < 64 * 1024 + 2 * smallNar.length + 40 * 4096, `${name}: left after ${given} bytes`)
  }
})

t.test('no body is longer than an encoding of its NAR needs', async (t) => {
  const take = async (length: number, narSize: number) =>
    collect(boundedBody(bodyOf(Buffer.alloc(length), [1000]), narSize)).then(
      (bytes) => bytes.length,
      codeOf,
    )
  t.equal(await take(320_000 + 10_000 + 65_536, 320_000), 395_536)
  t.equal(await take(320_000 + 10_000 + 65_537, 320_000), 'too-long')
  for (const encoding of ['xz', 'zstd', 'br', 'gzip'] as const) {
    const worst = randomBytes(1_000_000, seed)
    const length = (await encodeNar(encoding, worst)).length
    t.equal(await take(length, worst.length), length, `${encoding} of incompressible content`)
  }
})
