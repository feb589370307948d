/** From a file in any encoding to its NAR. */
import { equal, ok } from 'node:assert/strict'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { createZstdDecompress, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { initModule, xzAsync } from 'node-liblzma/wasm'
import t from 'tap'
import { decodeNar } from '../../src/ingest/decode-nar.ts'
import { PushStream } from '../../src/ingest/push-stream.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import {
  bodyOf,
  encodeNar,
  encodings,
  patternNar,
  randomBytes,
  smallNar,
} from '../fakes/encode-nar.ts'
import { failureCodes, type Give, jobFor, runIngest } from '../fakes/ingest-run.ts'
import {
  bigNar,
  chunkings,
  collect,
  decode,
  decodingFault,
  gives,
  isSame,
  randomSizes,
  seed,
} from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const file = join(t.testdir(), 'nar.zst')

t.test('every encoding decodes to the same NAR, however it is cut', async (t) => {
  for (const encoding of encodings) {
    const encoded = await encodeNar(encoding, patternNar)
    for (const [name, sizes] of Object.entries(chunkings)) {
      t.ok(isSame(await decode(encoding, encoded, sizes), patternNar), `${encoding}, ${name}`)
    }
    if (encoding === 'bzip2') continue
    const big = await encodeNar(encoding, bigNar)
    t.ok(isSame(await decode(encoding, big, randomSizes(200_000)), bigNar), `${encoding}, 3 MB`)
  }
})

t.test('what the body throws passes through every decoder unchanged', async (t) => {
  for (const encoding of encodings) {
    const encoded = await encodeNar(encoding, patternNar)
    const cut = new UpstreamError('reset', 'cut')
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield* bodyOf(encoded.subarray(0, encoded.length >> 1), [1000])
      throw cut
    }
    const thrown: unknown = await collect(decodeNar(encoding, body(), 2 ** 30)).catch(
      (e: unknown) => e,
    )
    t.equal(thrown, cut, encoding)
  }
})

t.test('a decoder that is left early closes the body', async (t) => {
  for (const encoding of encodings) {
    if (encoding === 'bzip2') continue
    const closed = Promise.withResolvers<true>()
    const encoded = await encodeNar(encoding, bigNar)
    const body = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* bodyOf(encoded, [1000])
      } finally {
        closed.resolve(true)
      }
    }
    for await (const piece of decodeNar(encoding, body(), 2 ** 30)) if (piece.length > 0) break
    t.ok(await closed.promise, encoding)
  }
})

t.test('a compression that Weir does not decode is said so', async (t) => {
  for (const compression of [
    'compress',
    'grzip',
    'lrzip',
    'lz4',
    'lzip',
    'lzma',
    'lzop',
  ] as const) {
    const run = await runIngest(jobFor(smallNar, file), [gives(compression, smallNar)])
    t.equal(run.outcome.kind, 'failed', compression)
    t.same(failureCodes(run), ['unsupported-compression'], compression)
  }
})

t.test('a source of a compression that Weir does not decode is not left open', async (t) => {
  let isOpen = false
  const give: Give = () => ({
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false as const, value: smallNar }),
      return: async () => {
        isOpen = false
        return { done: true as const, value: undefined }
      },
    }),
  })
  await runIngest(jobFor(smallNar, file), [
    {
      compression: 'lz4',
      give: (signal) => {
        isOpen = true
        return give(signal)
      },
    },
  ])
  t.notOk(isOpen)
})

t.test('xz', async (t) => {
  await initModule()
  const streams = [
    await xzAsync(patternNar.subarray(0, 50_000), { preset: 1 }),
    await xzAsync(new Uint8Array(0), { preset: 1 }),
    await xzAsync(patternNar.subarray(50_000), { preset: 6 }),
  ]
  t.test('streams one after the other are one file, with padding between them', async (t) => {
    for (const padding of [0, 4, 400]) {
      const zeros = Buffer.alloc(padding)
      const bytes = Buffer.concat(streams.flatMap((stream) => [stream, zeros]))
      for (const [name, sizes] of Object.entries(chunkings)) {
        t.ok(isSame(await decode('xz', bytes, sizes), patternNar), `${padding} zeros, ${name}`)
      }
    }
  })

  t.test('a file cut anywhere, garbage, and trailing garbage are refused', async (t) => {
    const bytes = await xzAsync(smallNar, { preset: 1 })
    const faults = new Set<string | null>()
    for (let length = 0; length < bytes.length; length += 1) {
      faults.add(await decodingFault('xz', bytes.subarray(0, length)))
    }
    t.same([...faults], ['undecodable'], 'cut')
    t.equal(await decodingFault('xz', randomBytes(1000, seed)), 'undecodable', 'garbage')
    for (const garbage of ['00', '000000', 'ff', 'fd377a585a00', 'ffffffffffffffff']) {
      const trailing = Buffer.concat([bytes, Buffer.from(garbage, 'hex')])
      t.equal(await decodingFault('xz', trailing), 'undecodable', `trailing ${garbage}`)
    }
  })

  t.test('many files are decoded side by side', async (t) => {
    const bytes = Buffer.concat(streams)
    const all = await Promise.all(
      Array.from({ length: 24 }, (_, index) => decode('xz', bytes, randomSizes(3000, index))),
    )
    t.ok(all.every((nar) => isSame(nar, patternNar)))
  })

  t.test('files that need more memory than there is for all wait for each other', async (t) => {
    // `xz -9` of `smallNar`: 65 MiB of the 256 that a thread has, however little is in it.
    const bytes = Buffer.from(
      '/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4AIPAJ5dAAaANh/vps6/droaek8r6qRTJO2hIwRx/1u/l2m68ym+JXpxK+m02g1+mo+dXiRt4hQG2Q3fBgNl1zuDn8Eu3jdXJ4v5oWFaGKkdzDgh0a4lilXhl5+ByJmGLj7vkpW1GFPqVxfVU4Y11UmIXRJDmxqynsbfW4JzJK0ZAheCPU3H1rhILHg/W0HBjgD41cY1rtwcOzqj5T55ElnvvhgAAAAAhrw2YCqQeAwAAboBkAQAAAaELf+xxGf7AgAAAAAEWVo=',
      'base64',
    )
    const all = await Promise.all(
      Array.from({ length: 24 }, (_, index) => decode('xz', bytes, randomSizes(40, index))),
    )
    t.ok(all.every((nar) => isSame(nar, smallNar)))
  })
})

t.test('bzip2, gzip and br', async (t) => {
  t.test('streams one after the other are one file', async (t) => {
    const bzip2 = await encodeNar('bzip2', smallNar)
    const twice = Buffer.concat([smallNar, smallNar])
    for (const sizes of [[1], [Infinity]]) {
      t.ok(isSame(await decode('bzip2', Buffer.concat([bzip2, bzip2]), sizes), twice), 'bzip2')
      const gzip = Buffer.concat([gzipSync(smallNar), gzipSync(''), gzipSync(smallNar)])
      t.ok(isSame(await decode('gzip', gzip, sizes), twice), 'gzip')
    }
  })

  t.test('a file cut anywhere is refused, or decodes to too little', async (t) => {
    for (const encoding of ['bzip2', 'gzip', 'br'] as const) {
      const bytes = await encodeNar(encoding, smallNar)
      for (let length = 0; length < bytes.length; length += 1) {
        const run = await runIngest(jobFor(smallNar, file), [
          gives(encoding, bytes.subarray(0, length)),
        ])
        // Nothing is lost where only the end of the format's own trailer is.
        if (run.outcome.kind === 'verified') ok(isSame(zstdDecompressSync(run.file), smallNar))
        else ok(['undecodable', 'too-short'].includes(must(failureCodes(run)[0])))
        if (length < bytes.length - 10) equal(run.outcome.kind, 'failed')
      }
      t.equal(await decodingFault(encoding, bytes.subarray(0, bytes.length >> 1)), 'undecodable')
    }
  })

  t.test('garbage is refused', async (t) => {
    for (const encoding of ['bzip2', 'gzip', 'br'] as const) {
      t.equal(await decodingFault(encoding, randomBytes(5000, seed)), 'undecodable', encoding)
    }
    const trailing = Buffer.concat([await encodeNar('bzip2', smallNar), Buffer.from('garbage')])
    t.equal(await decodingFault('bzip2', trailing), 'undecodable', 'bzip2, after its end')
  })
})

t.test('a pushed stream', async (t) => {
  t.test('a write resolves when all that it gave has come out', async (t) => {
    let bytes = 0
    using stream = new PushStream(createZstdDecompress({ chunkSize: 4096 }), (chunk) => {
      bytes += chunk.length
    })
    for (let count = 1; count <= 5; count += 1) {
      await stream.write(zstdCompressSync(randomBytes(100_000, count)))
      t.equal(bytes, count * 100_000)
    }
    await stream.end()
  })

  t.test('what the consumer throws is thrown by the write, and by all that follow', async (t) => {
    const bug = new Error('full')
    using stream = new PushStream(createZstdDecompress(), () => {
      throw bug
    })
    const caught = (promise: Promise<void>) => promise.catch((error: unknown) => error)
    t.equal(await caught(stream.write(zstdCompressSync(bigNar))), bug)
    t.equal(await caught(stream.write(Buffer.from('more'))), bug)
    t.equal(await caught(stream.end()), bug)
  })

  t.test('what the stream throws is thrown by the write', async (t) => {
    using stream = new PushStream(createZstdDecompress(), () => undefined)
    await t.rejects(stream.write(Buffer.from('garbage, and enough of it')))
    await t.rejects(stream.end())
  })

  t.test('one that was disposed of rejects', async (t) => {
    const stream = new PushStream(new PassThrough(), () => undefined)
    stream[Symbol.dispose]()
    await t.rejects(stream.write(Buffer.from('x')))
  })
})

/** What a trusted claim promises of a NAR. */
