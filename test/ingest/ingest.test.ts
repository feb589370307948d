import { deepEqual, equal, ok } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { PassThrough, type Transform } from 'node:stream'
import {
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  gzipSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib'
import fc from 'fast-check'
import { initModule, xzAsync } from 'node-liblzma/wasm'
import t from 'tap'
import { BadNarError } from '../../src/ingest/bad-nar-error.ts'
import { boundedBody } from '../../src/ingest/bounded-body.ts'
import { decodeNar, wholeFrames } from '../../src/ingest/decode-nar.ts'
import { createIngestPool } from '../../src/ingest/ingest-pool.ts'
import { createEncoder } from '../../src/ingest/encoders.ts'
import { ingest, type IngestDeps } from '../../src/ingest/ingestion.ts'
import { nextRound } from '../../src/ingest/next-round.ts'
import { NarVerifier } from '../../src/ingest/nar-verifier.ts'
import { PushStream } from '../../src/ingest/push-stream.ts'
import { listStored } from '../../src/ingest/list-stored.ts'
import { keptEtag, madeEtag } from '../../src/ingest/representation.ts'
import { createRetryBudget } from '../../src/ingest/retry-budget.ts'
import { verifyStored } from '../../src/ingest/verify-stored.ts'
import { pauseAfter } from '../../src/ingest/worker-threads.ts'
import { ZstdFrameError, ZstdFrames } from '../../src/ingest/zstd-frames.ts'
import type { Compression } from '../../src/nix/compression.ts'
import { formatContentAddress, parseContentAddress } from '../../src/nix/content-address.ts'
import { formatHash, parseHash } from '../../src/nix/hash.ts'
import type { IngestEvents, IngestJob, NarIngest, NarSource } from '../../src/ports/nar-ingest.ts'
import type { PromisedNar } from '../../src/ports/nar-reader.ts'
import { UpstreamError, type UpstreamBody } from '../../src/ports/upstream.ts'
import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import {
  bodyOf,
  encodeNar,
  encodings,
  type Encoding,
  mixedNar,
  patternNar,
  random,
  randomBytes,
  smallNar,
} from '../fakes/encode-nar.ts'
import {
  askedOnce,
  failureCodes,
  type FileJob,
  type Give,
  type IngestRun,
  jobFor,
  noPieces,
  plainSources,
  runIngest,
  sha256,
  type TestSource,
} from '../fakes/ingest-run.ts'
import { must, path as storePathNamed, pathHash, selfNar, selfNarinfo } from '../nix/fixtures.ts'
import { narString, writeNar } from '../nix/tree.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const seed = 20260730
const dir = t.testdir()
const file = join(dir, 'nar.zst')
const bigNar = mixedNar(3_000_000, seed)

/** Piece sizes that look random. */
function randomSizes(max: number, from = seed): readonly number[] {
  const next = random(from)
  return Array.from({ length: 200 }, () => 1 + (next() % max))
}

const chunkings = {
  'single bytes': [1],
  'random pieces': randomSizes(5000),
  'pieces of 64 KiB': [65_536],
  'one piece': [Infinity],
} as const

async function collect(body: UpstreamBody): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(Uint8Array.from(piece))
  return Buffer.concat(pieces)
}

function decode(compression: Compression, bytes: Uint8Array, sizes?: readonly number[]) {
  return collect(decodeNar(compression, bodyOf(bytes, sizes), 2 ** 30))
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

/** What the beginning of a zstd file decodes to: whatever comes before it ends or breaks. */
async function decodePrefix(prefix: Uint8Array): Promise<Buffer> {
  const decoder = createZstdDecompress()
  const pieces: Buffer[] = []
  decoder.on('data', (piece: Buffer) => pieces.push(piece))
  await new Promise<void>((resolve) => {
    decoder.on('error', () => {
      resolve()
    })
    decoder.on('end', resolve)
    decoder.end(prefix)
  })
  return Buffer.concat(pieces)
}

/** A source that gives these bytes. */
function gives(compression: Compression, bytes: Uint8Array, sizes?: readonly number[]): TestSource {
  return { compression, give: () => bodyOf(bytes, sizes) }
}

/** Sources are asked again, without waiting. */
function again(): Omit<IngestDeps, 'open'> & { readonly pauses: readonly number[] } {
  const pauses: number[] = []
  const pause = async (ms: number): Promise<void> => {
    pauses.push(ms)
    await Promise.resolve()
  }
  return { timing: { pause, random: () => 0.5 }, budget: createRetryBudget(), pauses }
}

/** What a source gives at its first opening, its second, and so on; the last one ever after. */
function inTurn(...gives: readonly Give[]): Give {
  let opened = 0
  return (signal) => gives[Math.min(gives.length - 1, opened++)]?.(signal) ?? null
}

/** A source that answers with an error. */
function fails(...error: ConstructorParameters<typeof UpstreamError>): Give {
  return () => {
    throw new UpstreamError(...error)
  }
}

/** A body that breaks off after some bytes. */
async function* brokenOff(bytes: Uint8Array, after: number): AsyncGenerator<Uint8Array> {
  yield* bodyOf(bytes.subarray(0, after), [10_000])
  throw new UpstreamError('reset', 'the connection was cut')
}

const codeOf = (error: unknown): string =>
  error instanceof BadNarError ? error.code : `no BadNarError: ${String(error)}`

/** The code with which decoding fails; null where it does not. */
async function decodingFault(compression: Compression, bytes: Uint8Array, sizes?: number[]) {
  return decode(compression, bytes, sizes).then(() => null, codeOf)
}

/** How far this process's memory ever went up while something ran, in MiB. */
async function peakGrowth(act: () => Promise<void>): Promise<number> {
  const before = process.resourceUsage().maxRSS
  await act()
  return (process.resourceUsage().maxRSS - before) / 1024
}

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

t.test('zstd', async (t) => {
  const skippable = (length: number, index = 0): Buffer => {
    const header = Buffer.alloc(8)
    header.writeUInt32LE(0x184d2a50 + index, 0)
    header.writeUInt32LE(length, 4)
    return Buffer.concat([header, randomBytes(length, seed)])
  }
  /** A frame by the streaming encoder, which does not know the content's size; in writes of `piece` bytes. */
  const streamed = async (content: Uint8Array, level: number, checksum: 0 | 1, piece: number) => {
    const encoder = createZstdCompress({
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: checksum,
      },
    })
    const encoded = collect(encoder)
    for (let at = 0; at < content.length; at += piece) {
      // Ended with a write still under way it would add an empty frame.
      await new Promise((resolve) => encoder.write(content.subarray(at, at + piece), resolve))
    }
    encoder.end()
    return encoded
  }
  const whole = (content: Uint8Array, level: number, checksum: 0 | 1): Buffer =>
    zstdCompressSync(content, {
      pledgedSrcSize: content.length,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: checksum,
      },
    })

  /** The ends of the frames, as ZstdFrames finds them in pieces of these sizes. */
  const endsOf = (bytes: Uint8Array, sizes: readonly number[]): readonly number[] => {
    const frames = new ZstdFrames()
    const ends: number[] = []
    let position = 0
    for (let turn = 0; position < bytes.length; turn += 1) {
      const chunk = bytes.subarray(position, position + (sizes[turn % sizes.length] ?? 1))
      for (let at = 0; at < chunk.length;) {
        at = frames.nextEnd(chunk, at)
        if (frames.atBoundary) ends.push(position + at)
        else equal(at, chunk.length, 'stops only at a frame’s end or the chunk’s')
      }
      position += chunk.length
    }
    return ends
  }
  const sums = (lengths: readonly number[]): readonly number[] =>
    lengths.map((_, index) => lengths.slice(0, index + 1).reduce((sum, length) => sum + length, 0))

  t.test('ends of frames are found in what real encoders write', async (t) => {
    const frame = fc.record({
      length: fc.oneof(fc.integer({ min: 0, max: 600 }), fc.integer({ min: 0, max: 400_000 })),
      content: fc.constantFrom('random', 'mixed', 'zeros'),
      level: fc.integer({ min: -5, max: 12 }),
      checksum: fc.constantFrom(0 as const, 1 as const),
      kind: fc.constantFrom('whole', 'streamed', 'skippable'),
      piece: fc.integer({ min: 500, max: 300_000 }),
      seed: fc.nat(),
    })
    const encodeFrame = async (f: typeof frame extends fc.Arbitrary<infer T> ? T : never) => {
      if (f.kind === 'skippable') {
        return { plain: Buffer.alloc(0), frame: skippable(f.length, f.seed % 16) }
      }
      const plain = f.content === 'zeros' ? Buffer.alloc(f.length) : randomBytes(f.length, f.seed)
      if (f.content === 'mixed') {
        for (let at = 0; at < plain.length; at += 300)
          plain.fill(7, at, Math.min(plain.length, at + 200))
      }
      const encoded =
        f.kind === 'whole'
          ? whole(plain, f.level, f.checksum)
          : await streamed(plain, f.level, f.checksum, f.piece)
      return { plain, frame: encoded }
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 5 }),
        async (specs, sizes) => {
          const made = await Promise.all(specs.map(encodeFrame))
          const bytes = Buffer.concat(made.map(({ frame }) => frame))
          deepEqual(endsOf(bytes, sizes), sums(made.map(({ frame }) => frame.length)))
          const plain = Buffer.concat(made.map(({ plain }) => plain))
          ok(isSame(await decode('zstd', bytes, sizes), plain), 'and it decodes')
        },
      ),
      { seed, numRuns: 60 },
    )
    t.pass()
  })

  t.test('every kind of header, one byte at a time', async (t) => {
    const kinds: Record<string, Buffer> = {
      'single segment, 1-byte size': whole(randomBytes(200, seed), 3, 0),
      'single segment, 2-byte size': whole(randomBytes(10_000, seed), 3, 1),
      'single segment, 4-byte size': whole(randomBytes(70_000, seed), 3, 1),
      'a window and no size': await streamed(randomBytes(70_000, seed), 3, 0, 1000),
      'run-length blocks': whole(Buffer.alloc(500_000), 3, 0),
      'an empty frame': whole(Buffer.alloc(0), 3, 0),
      'an empty frame with a checksum': whole(Buffer.alloc(0), 3, 1),
      'an empty skippable frame': skippable(0),
      'a skippable frame of the last magic number': skippable(10, 15),
    }
    for (const [name, bytes] of Object.entries(kinds)) {
      t.same(endsOf(bytes, [1]), [bytes.length], name)
      t.same(endsOf(Buffer.concat([bytes, bytes]), [3, 7]), [bytes.length, 2 * bytes.length], name)
    }
    const descriptor = (name: string): number => must(kinds[name]).readUInt8(4)
    t.equal(
      descriptor('single segment, 1-byte size') & 0xe0,
      0x20,
      'the fixtures are what they say',
    )
    t.equal(descriptor('single segment, 2-byte size') & 0xe4, 0x64)
    t.equal(descriptor('single segment, 4-byte size') & 0xe4, 0xa4)
    t.equal(descriptor('a window and no size') & 0xe4, 0)
  })

  t.test('a size of 8 bytes and a dictionary id are part of the header', async (t) => {
    // magic, descriptor (8-byte size, 4-byte dictionary), window, dictionary, size, an empty last block
    const header = Buffer.from('28b52ffd' + 'c3' + '58' + '01020304' + '0000000000000000', 'hex')
    const bytes = Buffer.concat([header, Buffer.from('010000', 'hex')])
    t.same(endsOf(bytes, [1]), [bytes.length])
  })

  const content = mixedNar(30_000, seed)
  const several = Buffer.concat([
    skippable(20),
    whole(content.subarray(0, 10_000), 3, 1),
    whole(Buffer.alloc(0), 3, 1),
    await streamed(content.subarray(10_000, 20_000), 1, 0, 3000),
    skippable(0),
    whole(content.subarray(20_000), 9, 0),
    skippable(300, 15),
  ])

  t.test('several frames are one NAR, recoded or kept as they came, however cut', async (t) => {
    for (const [name, sizes] of Object.entries(chunkings)) {
      t.ok(isSame(await decode('zstd', several, sizes), content), name)
      const recoded = await runIngest(jobFor(content, file), [gives('zstd', several, sizes)])
      t.equal(recoded.outcome.kind, 'verified', `recoded, ${name}`)
      t.ok(isSame(zstdDecompressSync(recoded.file), content))
      const source = { ...gives('zstd', several, sizes), fileHash: sha256(several) }
      const passed = await runIngest(jobFor(content, file), [source])
      t.equal(passed.outcome.kind, 'verified', `kept, ${name}`)
      t.ok(isSame(passed.file, several))
    }
  })

  t.test('pieces never hold bytes of two frames', async (t) => {
    const ends = new Set(endsOf(several, [several.length]))
    let at = 0
    for await (const piece of wholeFrames(bodyOf(several, [Infinity]))) {
      at += piece.length
      t.ok(ends.delete(at), `a frame ends at ${at}`)
    }
    t.equal(ends.size, 0)
  })

  t.test('a file that ends anywhere inside a frame is refused', async (t) => {
    const frame = whole(smallNar, 3, 1)
    const codes = new Set<string | null>()
    for (let length = 1; length < frame.length; length += 1) {
      const frames = new ZstdFrames()
      frames.nextEnd(frame, 0)
      ok(frames.atBoundary)
      codes.add(await decodingFault('zstd', frame.subarray(0, length)))
      for (const fileHash of [null, sha256(frame)]) {
        const source = { ...gives('zstd', frame.subarray(0, length)), fileHash }
        const run = await runIngest(jobFor(smallNar, file), [source])
        equal(run.outcome.kind, 'failed')
        deepEqual(failureCodes(run), ['undecodable'], `${length} bytes, ${String(fileHash)}`)
      }
    }
    t.same([...codes], ['undecodable'])
  })

  t.test('a file that lacks whole frames is too short', async (t) => {
    const first = whole(smallNar.subarray(0, 100), 3, 1)
    for (const fileHash of [null, sha256(first)]) {
      const run = await runIngest(jobFor(smallNar, file), [{ ...gives('zstd', first), fileHash }])
      t.equal(run.outcome.kind, 'failed')
      t.same(failureCodes(run), ['too-short'])
    }
    const empty = await runIngest(jobFor(smallNar, file), [gives('zstd', Buffer.alloc(0))])
    t.match(failureCodes(empty), [/^(too-short|undecodable)$/], 'an empty file')
  })

  t.test('what follows the last frame and is none is refused', async (t) => {
    const frame = whole(smallNar, 3, 1)
    for (const garbage of [
      '00',
      '0000',
      '000000',
      '00000000',
      'ffffffffffff',
      '28b52f',
      '28b52ffd',
    ]) {
      const bytes = Buffer.concat([frame, Buffer.from(garbage, 'hex')])
      for (const sizes of [[1], [Infinity]]) {
        t.equal(
          await decodingFault('zstd', bytes, sizes),
          'undecodable',
          `${garbage}, ${sizes.join()}`,
        )
      }
      for (const fileHash of [null, sha256(bytes)]) {
        const run = await runIngest(jobFor(smallNar, file), [{ ...gives('zstd', bytes), fileHash }])
        t.equal(run.outcome.kind, 'failed', `${garbage}, ${String(fileHash)}`)
      }
    }
  })

  t.test('a wrong magic number and a reserved block type are no frame', async (t) => {
    const frame = whole(smallNar, 3, 0)
    const wrongMagic = Buffer.from(frame)
    wrongMagic[0] = 0x29
    t.throws(() => new ZstdFrames().nextEnd(wrongMagic, 0), ZstdFrameError)
    const reserved = Buffer.from('28b52ffd' + '00' + '58' + '060000', 'hex')
    t.throws(() => new ZstdFrames().nextEnd(reserved, 0), ZstdFrameError)
    for (const bytes of [wrongMagic, reserved]) {
      t.equal(await decodingFault('zstd', bytes), 'undecodable')
    }
  })

  t.test('a NAR may be followed by little that holds nothing, not by much', async (t) => {
    const frame = whole(smallNar, 3, 1)
    const little = Buffer.concat([frame, skippable(1000), whole(Buffer.alloc(0), 3, 0)])
    const much = Buffer.concat([frame, skippable(64 * 1024)])
    const verdicts = await Promise.all(
      [little, much].map(async (bytes, index) => {
        const source = { ...gives('zstd', bytes), fileHash: sha256(bytes) }
        return runIngest(jobFor(smallNar, join(dir, `trailing-${index}`)), [source])
      }),
    )
    t.same(
      verdicts.map(({ outcome }) => outcome.kind),
      ['verified', 'failed'],
    )
  })
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

/** Sources that claim nothing of their file, and for zstd one that does: it is kept as it comes. */
const variants: readonly (readonly [Encoding, boolean])[] = [
  ...encodings.map((encoding) => [encoding, false] as const),
  ['zstd', true],
]

t.test('a changed byte never gives a wrong NAR', async (t) => {
  for (const [encoding, isPassed] of variants) {
    const name = isPassed ? `${encoding}, kept as it comes` : encoding
    t.test(name, async (t) => {
      const attempt = async (nar: Buffer, encoded: Uint8Array, at: number) => {
        const bytes = Buffer.from(encoded)
        bytes[at] = (bytes[at] ?? 0) ^ 0x55
        const fileHash = isPassed ? sha256(encoded) : null
        for (const verifyFirst of [true, false]) {
          const job = jobFor(nar, file, { verifyFirst })
          const run = await runIngest(job, [{ ...gives(encoding, bytes), fileHash }])
          if (run.outcome.kind === 'verified') {
            ok(isSame(zstdDecompressSync(run.file), nar), `byte ${at}`)
          } else {
            equal(run.outcome.kind, 'failed')
            const last = run.released.at(-1)
            if (last !== undefined) ok((await decodePrefix(last)).length < nar.length)
          }
        }
      }
      const small = await encodeNar(encoding, smallNar)
      for (let at = 0; at < small.length; at += 1) await attempt(smallNar, small, at)
      t.pass(`each of ${small.length} bytes`)
      const pattern = await encodeNar(encoding, patternNar)
      for (const at of [0, pattern.length >> 1, pattern.length - 1]) {
        await attempt(patternNar, pattern, at)
      }
      t.pass('first, middle and last of a longer file')
    })
  }
})

t.test('a NAR that is not the promised one is refused, and why is said', async (t) => {
  for (const [encoding, isPassed] of variants) {
    const encoded = await encodeNar(encoding, smallNar)
    const fileHash = isPassed ? sha256(encoded) : null
    const codes = async (changes: Partial<FileJob>) => {
      const job = jobFor(smallNar, file, changes)
      const run = await runIngest(job, [{ ...gives(encoding, encoded), fileHash }])
      equal(run.outcome.kind, 'failed')
      return failureCodes(run)
    }
    const size = smallNar.length
    for (const narSize of [1, size - 8, size - 1]) {
      t.same(await codes({ narSize }), ['too-long'], `${encoding}: longer than ${narSize}`)
    }
    for (const narSize of [size + 1, size + 8, 10 * size]) {
      t.same(await codes({ narSize }), ['too-short'], `${encoding}: shorter than ${narSize}`)
    }
    const narHash = sha256(Buffer.from('other'))
    t.same(await codes({ narHash }), ['nar-hash-mismatch'], `${encoding}: another hash`)
  }
})

t.test('the content is held against the CA field too', async (t) => {
  const contents = Buffer.from('hello')
  const flat = writeNar({ type: 'regular', executable: false, contents })
  const executable = writeNar({ type: 'regular', executable: true, contents })
  const digest = (algorithm: 'sha256' | 'sha512', bytes: Uint8Array): string =>
    formatHash({ algorithm, bytes: createHash(algorithm).update(bytes).digest() })
  const verdict = async (nar: Uint8Array, ca: string, storePathHash = '0'.repeat(32)) => {
    equal(formatContentAddress(must(parseContentAddress(ca))), ca)
    const results: string[] = []
    for (const fileHash of [null, 'sha256:0']) {
      for (const encoding of ['none', 'zstd'] as const) {
        const encoded = await encodeNar(encoding, nar)
        const changes = { ca, storePathHash: pathHash(storePathHash) }
        const run = await runIngest(jobFor(nar, file, changes), [
          { ...gives(encoding, encoded), fileHash },
        ])
        results.push(run.outcome.kind === 'verified' ? 'verified' : failureCodes(run).join())
      }
    }
    equal(new Set(results).size, 1, results.join())
    return results[0]
  }
  const mismatch = 'content-address-mismatch'
  t.equal(await verdict(flat, `fixed:${digest('sha256', contents)}`), 'verified', 'flat')
  t.equal(await verdict(flat, `fixed:${digest('sha512', contents)}`), 'verified', 'flat, sha512')
  t.equal(await verdict(flat, `text:${digest('sha256', contents)}`), 'verified', 'text')
  t.equal(await verdict(flat, `fixed:r:${digest('sha256', flat)}`), 'verified', 'recursive')
  t.equal(await verdict(smallNar, `fixed:r:${digest('sha512', smallNar)}`), 'verified', 'a tree')
  t.equal(await verdict(flat, `fixed:${digest('sha256', flat)}`), mismatch, 'flat by the NAR')
  t.equal(await verdict(flat, `fixed:r:${digest('sha256', contents)}`), mismatch, 'NAR by the file')
  t.equal(await verdict(flat, `text:${digest('sha256', flat)}`), mismatch, 'text by the NAR')
  t.equal(await verdict(smallNar, `fixed:${digest('sha256', contents)}`), mismatch, 'a flat tree')
  t.equal(
    await verdict(executable, `fixed:${digest('sha256', contents)}`),
    mismatch,
    'flat but executable',
  )
  const ca = must(/^CA: (.*)$/m.exec(selfNarinfo)?.[1])
  const ownHash = 'gszi1nxgyf69xnd84jqyry5yjhqfmnfr'
  t.equal(await verdict(selfNar, ca, ownHash), 'verified', 'recursive with a self reference')
  t.equal(await verdict(selfNar, ca), mismatch, 'the same as another path')
})

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

t.test('verified first: nothing is released before the outcome', async (t) => {
  for (const [encoding, isPassed] of variants) {
    const nar = encoding === 'bzip2' ? patternNar : bigNar
    const encoded = await encodeNar(encoding, nar)
    const fileHash = isPassed ? sha256(encoded) : null
    const run = await runIngest(jobFor(nar, file), [{ ...gives(encoding, encoded), fileHash }])
    t.equal(run.outcome.kind, 'verified', encoding)
    t.same(run.released, [], encoding)
  }
})

t.test(
  'released as it comes: what is released only grows, and is a part of the file',
  async (t) => {
    for (const [encoding, isPassed] of variants) {
      if (encoding === 'bzip2') continue
      const encoded = await encodeNar(encoding, bigNar)
      const fileHash = isPassed ? sha256(encoded) : null
      const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [
        { ...gives(encoding, encoded), fileHash },
      ])
      t.equal(run.outcome.kind, 'verified', encoding)
      t.ok(run.released.length > 3, `${encoding}: ${run.released.length} releases`)
      let before = 0
      for (const part of run.released) {
        ok(part.length > before, 'grows')
        before = part.length
        ok(isSame(part, run.file.subarray(0, part.length)), 'is what the file begins with')
      }
      const etags = new Set(run.events.flatMap((e) => (e.kind === 'released' ? [e.etag] : [])))
      t.same([...etags], [run.outcome.kind === 'verified' && run.outcome.etag], 'under its ETag')
    }
  },
)

t.test('released as it comes: what is released of a wrong NAR is never complete', async (t) => {
  // Sizes around the encoder's pieces, since the last piece is what is held back.
  const piece = 256 * 1024
  for (const size of [1000, piece, 2 * piece, 2 * piece + 1, 1_000_000]) {
    const nar = randomBytes(size, seed)
    const wrong = Buffer.from(nar)
    wrong[size - 1] = (wrong[size - 1] ?? 0) ^ 1
    for (const encoding of ['none', 'xz', 'zstd', 'br', 'gzip'] as const) {
      const encoded = await encodeNar(encoding, wrong)
      for (const fileHash of encoding === 'zstd' ? [null, sha256(encoded)] : [null]) {
        const run = await runIngest(jobFor(nar, file, { verifyFirst: false }), [
          { ...gives(encoding, encoded, [10_000]), fileHash },
        ])
        equal(run.outcome.kind, 'failed')
        deepEqual(failureCodes(run), ['nar-hash-mismatch'])
        const decoded = await decodePrefix(run.released.at(-1) ?? Buffer.alloc(0))
        t.ok(decoded.length < size, `${encoding}, ${decoded.length} of ${size} bytes`)
        t.ok(isSame(decoded, nar.subarray(0, decoded.length)))
      }
    }
  }
})

t.test('the next source delivers where one does not', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const good = { ...gives('xz', encoded), upstream: 'good' }
  const corrupt = Buffer.from(encoded)
  corrupt.fill(0, 1000, 2000)
  const expected = await runIngest(jobFor(bigNar, file), [good])
  const failing: Record<string, readonly [Give, string, string]> = {
    absent: [() => null, 'absent', 'absent'],
    unreachable: [
      () => {
        throw new UpstreamError('connect', 'refused')
      },
      'unreachable',
      'connect',
    ],
    'broken off': [() => brokenOff(encoded, 100_000), 'unreachable', 'reset'],
    'a web page': [
      () => bodyOf(Buffer.from('\n<!DOCTYPE html>\n<p>Log in</p>\n')),
      'unreachable',
      'web-page',
    ],
    corrupt: [() => bodyOf(corrupt), 'corrupt', 'undecodable'],
  }
  for (const [name, [give, kind, code]] of Object.entries(failing)) {
    const run = await runIngest(jobFor(bigNar, file), [{ give, upstream: 'bad' }, good])
    t.match(run.outcome, { kind: 'verified', upstream: 'good' }, name)
    t.ok(isSame(run.file, expected.file), `${name}: nothing of the first is in the file`)
    const failures = run.events.flatMap((e) => (e.kind === 'failed' ? [e.failure] : []))
    t.match(failures, [{ upstream: 'bad', kind, code }], name)
  }
  const all = Object.values(failing).map(([give]) => ({ give }))
  const none = await runIngest(jobFor(bigNar, file), all)
  t.equal(none.outcome.kind, 'failed')
  t.same(failureCodes(none), ['absent', 'connect', 'reset', 'web-page', 'undecodable'], 'in order')
  t.equal((await runIngest(jobFor(bigNar, file), [])).outcome.kind, 'failed', 'no source at all')
})

t.test('a kept zstd file may follow a broken one, and the other way round', async (t) => {
  const zstd = await encodeNar('zstd', bigNar)
  const xz = await encodeNar('xz', bigNar)
  const kept = { ...gives('zstd', zstd), fileHash: sha256(zstd) }
  const brokenXz: TestSource = { compression: 'xz', give: () => brokenOff(xz, xz.length - 1) }
  const after = await runIngest(jobFor(bigNar, file), [brokenXz, kept])
  t.ok(isSame(after.file, zstd))
  const brokenKept = { ...kept, give: () => brokenOff(zstd, zstd.length - 1) }
  const before = await runIngest(jobFor(bigNar, file), [brokenKept, gives('xz', xz)])
  const alone = await runIngest(jobFor(bigNar, file), [gives('xz', xz)])
  t.ok(isSame(before.file, alone.file))
  t.same(before.outcome, { ...alone.outcome, upstream: 'second' })
})

t.test('another source goes on where one broke off, and the file is the same', async (t) => {
  const encoded = new Map<Encoding, Uint8Array>()
  for (const encoding of encodings) {
    if (encoding !== 'bzip2') encoded.set(encoding, await encodeNar(encoding, bigNar))
  }
  const job = jobFor(bigNar, file, { verifyFirst: false })
  const uninterrupted = await runIngest(job, [gives('none', bigNar)])
  const next = random(seed)
  for (const [first, firstBytes] of encoded) {
    for (const [second, secondBytes] of encoded) {
      const cutAt = [0.5 + (next() % 400) / 1000, 1 - 1 / firstBytes.length]
      for (const cut of cutAt.map((part) => Math.floor(part * firstBytes.length))) {
        const run = await runIngest(job, [
          { compression: first, give: () => brokenOff(firstBytes, cut) },
          // Going on means recoding, also where the file could have been kept.
          { ...gives(second, secondBytes), fileHash: sha256(secondBytes) },
        ])
        const name = `${first}, from ${cut} on ${second}`
        const failedAt = run.events.findIndex(({ kind }) => kind === 'failed')
        ok(
          run.events.slice(0, failedAt).some(({ kind }) => kind === 'released'),
          `${name}: something was released before`,
        )
        t.equal(run.outcome.kind, 'verified', name)
        t.ok(isSame(run.file, uninterrupted.file), name)
      }
    }
  }
  const thrice = await runIngest(job, [
    { compression: 'none', give: () => brokenOff(bigNar, 1_000_000) },
    { compression: 'none', give: () => brokenOff(bigNar, 500_000) },
    { compression: 'none', give: () => brokenOff(bigNar, 2_000_000) },
    gives('none', bigNar),
  ])
  t.ok(isSame(thrice.file, uninterrupted.file), 'several times, also by one that came less far')
})

t.test('a file that is cut inside its encoding is gone on from', async (t) => {
  const job = jobFor(bigNar, file, { verifyFirst: false })
  const alone = await runIngest(job, [gives('none', bigNar)])
  for (const encoding of ['xz', 'zstd', 'gzip', 'br'] as const) {
    const encoded = await encodeNar(encoding, bigNar)
    const cut = encoded.subarray(0, Math.floor(encoded.length * 0.8))
    const run = await runIngest(job, [gives(encoding, cut), gives('none', bigNar)])
    t.ok(run.released.length > 0, encoding)
    t.ok(isSame(run.file, alone.file), encoding)
  }
})

t.test('a source that differs in what was released cannot go on', async (t) => {
  const other = Buffer.from(bigNar)
  other[10] = (other[10] ?? 0) ^ 1
  const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [
    { compression: 'none', give: () => brokenOff(other, 2_000_000) },
    gives('none', bigNar),
  ])
  t.equal(run.outcome.kind, 'failed')
  t.same(failureCodes(run), ['reset', 'prefix-mismatch'])
  t.ok((await decodePrefix(must(run.released.at(-1)))).length < bigNar.length)
})

t.test('wrong bytes that were released are not gone on from', async (t) => {
  const wrong = Buffer.from(bigNar)
  wrong[wrong.length - 1] = (wrong[wrong.length - 1] ?? 0) ^ 1
  let isSecondAsked = false
  const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [
    gives('none', wrong),
    {
      give: () => {
        isSecondAsked = true
        return null
      },
    },
  ])
  t.equal(run.outcome.kind, 'failed')
  t.notOk(isSecondAsked)
})

t.test(
  'a kept file that broke off after a part was released cannot be gone on from another file',
  async (t) => {
    const zstd = await encodeNar('zstd', bigNar)
    const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [
      {
        compression: 'zstd',
        fileHash: sha256(zstd),
        give: () => brokenOff(zstd, zstd.length >> 1),
      },
      gives('none', bigNar),
    ])
    t.equal(run.outcome.kind, 'failed')
    t.ok((await decodePrefix(must(run.released.at(-1)))).length < bigNar.length)
  },
)

t.test('sources that could not tell are asked again, up to three times in all', async (t) => {
  const nar = bigNar
  const good = (): UpstreamBody => bodyOf(nar)
  const busy = fails('status', 'busy', { status: 503 })
  for (const [name, error] of Object.entries({
    connect: fails('connect', 'refused'),
    timeout: fails('timeout', 'too late'),
    reset: () => brokenOff(nar, 1000),
    'status 408': fails('status', 'status 408', { status: 408 }),
    'status 429': fails('status', 'status 429', { status: 429 }),
    'status 503': busy,
  })) {
    const deps = again()
    const give = inTurn(error, error, good)
    const run = await runIngest(jobFor(nar, file), [{ compression: 'none', give }], {
      retries: deps,
    })
    t.equal(run.outcome.kind, 'verified', name)
    t.same(deps.pauses, [100, 200], 'after longer and longer pauses')
    const never = again()
    const down = [{ give: error }, { give: () => null }, { give: busy }]
    const failed = await runIngest(jobFor(nar, file), down, { retries: never })
    t.equal(failed.outcome.kind, 'failed')
    const code = name.split(' ')[0]
    const asked = [code, 'absent', 'status', code, 'status', code, 'status']
    t.same(failureCodes(failed), asked, 'in order, and who has no such NAR once')
    t.equal(never.pauses.length, 2)
  }
})

t.test('what asking again would not change is not asked for again', async (t) => {
  const hopeless: readonly Give[] = [
    () => null,
    () => bodyOf(Buffer.from('no NAR')),
    fails('status', 'status 403', { status: 403 }),
    fails('url-refused', 'elsewhere'),
    fails('status', 'in an hour', { status: 503, retryAfterMs: 3_600_000 }),
  ]
  const deps = again()
  const sources = hopeless.map((give) => ({ give }))
  const run = await runIngest(jobFor(bigNar, file), sources, { retries: deps })
  t.equal(run.outcome.kind, 'failed')
  t.equal(failureCodes(run).length, hopeless.length)
  t.same(deps.pauses, [])
})

t.test('who leaves in a pause between two rounds is not waited for', async (t) => {
  const leaving = new AbortController()
  const timing = {
    random: () => 1,
    pause: (_: number, signal: AbortSignal) => {
      leaving.abort(new Error('left'))
      return setTimeout(60_000, undefined, { signal })
    },
  }
  const deps = { ...again(), timing }
  const sources = [{ give: fails('connect', 'refused') }]
  await t.rejects(
    runIngest(jobFor(bigNar, file), sources, { signal: leaving.signal, retries: deps }),
  )
})

t.test('a source that comes back goes on where it broke off', async (t) => {
  const job = jobFor(bigNar, file, { verifyFirst: false })
  const uninterrupted = await runIngest(job, [gives('none', bigNar)])
  for (const encoding of ['none', 'xz', 'zstd'] as const) {
    const encoded = await encodeNar(encoding, bigNar)
    for (const cut of [encoded.length >> 1, encoded.length - 1]) {
      const give = inTurn(
        () => brokenOff(encoded, cut),
        fails('connect', 'away'),
        () => bodyOf(encoded),
      )
      const run = await runIngest(job, [{ compression: encoding, give }], { retries: again() })
      t.equal(run.outcome.kind, 'verified', `${encoding}, ${cut}`)
      t.ok(isSame(run.file, uninterrupted.file))
      t.ok(run.released.length > 1)
    }
  }
  const other = Buffer.from(bigNar)
  other[10] = (other[10] ?? 0) ^ 1
  const give = inTurn(
    () => brokenOff(bigNar, 2_000_000),
    () => bodyOf(other),
  )
  const run = await runIngest(job, [{ compression: 'none', give }], { retries: again() })
  t.equal(run.outcome.kind, 'failed', 'with other bytes it does not')
  t.same(failureCodes(run), ['reset', 'prefix-mismatch'])
})

t.test('a kept file is gone on with from whoever promises the same file', async (t) => {
  for (const compression of ['zstd', 'xz', 'none'] as const) {
    const encoded = await encodeNar(compression, bigNar)
    const fileHash = sha256(encoded)
    const middle = encoded.length >> 1
    const same = { compression, fileHash }
    for (const mayCopy of [true, false]) {
      const job = jobFor(bigNar, file, { verifyFirst: false, compression, mayCopy })
      const run = await runIngest(job, [
        { ...same, give: () => brokenOff(encoded, middle) },
        // Neither another file nor one that gives less says anything of this one.
        { ...gives('none', bigNar), fileHash: sha256(bigNar.subarray(1)) },
        { ...same, give: () => brokenOff(encoded, 10_000) },
        { ...same, give: () => bodyOf(encoded, [5000]) },
      ])
      const kind = mayCopy ? 'copied' : 'verified'
      t.match(run.outcome, { kind, upstream: 'fourth', fileHash }, `${compression}: ${kind}`)
      t.ok(isSame(run.file, encoded))
      t.same(failureCodes(run), ['reset', 'reset'])
      t.ok(run.released.some(({ length }) => length > 0 && length < middle))
      const back = inTurn(
        () => brokenOff(encoded, encoded.length - 1),
        () => bodyOf(encoded),
      )
      const returned = await runIngest(job, [{ ...same, give: back }], { retries: again() })
      t.ok(isSame(returned.file, encoded), 'or from the same source, once it is back')
      const wrong = Buffer.from(encoded)
      wrong[100] = (wrong[100] ?? 0) ^ 1
      const lying = await runIngest(job, [
        { ...same, give: () => brokenOff(encoded, middle) },
        { ...same, give: () => bodyOf(wrong) },
      ])
      t.equal(lying.outcome.kind, 'failed')
      t.same(failureCodes(lying), ['reset', 'prefix-mismatch'])
    }
  }
})

t.test('an outage is not multiplied by those who come again', async (t) => {
  const deps = again()
  let opened = 0
  const give: Give = () => {
    opened += 1
    throw new UpstreamError('connect', 'refused')
  }
  for (let job = 0; job < 100; job += 1) {
    await runIngest(jobFor(smallNar, file), [{ give }], { retries: deps })
  }
  t.ok(opened <= 100 + 10 + 10, `100 NARs asked it ${opened} times`)
  const budget = createRetryBudget()
  const spent = Array.from({ length: 12 }, () => budget.spend('a')).filter((isSpent) => isSpent)
  t.equal(spent.length, 10)
  t.ok(budget.spend('b'), 'each upstream has its own')
  for (let asked = 0; asked < 9; asked += 1) budget.earn('a')
  t.notOk(budget.spend('a'))
  for (let asked = 0; asked < 2; asked += 1) budget.earn('a')
  t.ok(budget.spend('a'))
})

t.test('who asks for patience is asked in a round after it', async (t) => {
  const waiting = [
    { source: 'patience', afterMs: 900 },
    { source: 'any time', afterMs: 0 },
  ]
  t.same(
    nextRound(waiting, 1, () => 1),
    {
      pauseMs: 200,
      sources: ['any time'],
      later: [{ source: 'patience', afterMs: 700 }],
    },
  )
  t.same(
    nextRound(waiting.slice(0, 1), 2, () => 0),
    {
      ...{ pauseMs: 900, sources: ['patience'], later: [] },
    },
  )
  t.equal(
    nextRound(waiting, 3, () => 0),
    null,
  )
  t.equal(
    nextRound([], 1, () => 0),
    null,
  )
})

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

t.test('an abort rejects at once, and closes the source', async (t) => {
  for (const encoding of ['none', 'xz', 'zstd', 'gzip'] as const) {
    const encoded = await encodeNar(encoding, bigNar)
    const abort = new AbortController()
    const reason = new Error('enough')
    const waiting = Promise.withResolvers<undefined>()
    const closed = Promise.withResolvers<true>()
    const give = async function* (signal: AbortSignal): AsyncGenerator<Uint8Array> {
      try {
        yield encoded.subarray(0, 100_000)
        waiting.resolve(undefined)
        await once(signal, 'abort')
        throw signal.reason
      } finally {
        closed.resolve(true)
      }
    }
    const isSecondAsked = { value: false }
    const second: TestSource = {
      give: () => {
        isSecondAsked.value = true
        return null
      },
    }
    const run = runIngest(jobFor(bigNar, file), [{ compression: encoding, give }, second], {
      signal: abort.signal,
    })
    await waiting.promise
    abort.abort(reason)
    t.equal(await run.catch((error: unknown) => error), reason, encoding)
    t.ok(await closed.promise)
    t.notOk(isSecondAsked.value, 'and asks no other source')
  }
  const aborted = runIngest(jobFor(bigNar, file), [gives('none', bigNar)], {
    signal: AbortSignal.abort(new Error('before')),
  })
  await t.rejects(aborted, { message: 'before' }, 'before it began')
})

t.test('a full disk is Weir’s own failure, not the source’s', async (t) => {
  const full = '/dev/full'
  if (!existsSync(full)) {
    t.pass('the system has no /dev/full')
    return
  }
  const zstd = await encodeNar('zstd', bigNar)
  for (const nar of [smallNar, bigNar]) {
    for (const verifyFirst of [true, false]) {
      for (const source of [
        gives('none', nar),
        { ...gives('zstd', await encodeNar('zstd', nar)), fileHash: sha256(zstd) },
      ]) {
        const failures: unknown[] = []
        const [plain] = plainSources([source])
        const job = jobFor(nar, full, { verifyFirst, sources: [must(plain), must(plain)] })
        const events: IngestEvents = {
          released: () => undefined,
          fetched: () => undefined,
          sourceFailed: (failure) => failures.push(failure),
          ...noPieces,
        }
        const signal = new AbortController().signal
        const outcome = await ingest(
          job,
          { ...askedOnce, open: async (_, given) => source.give(given) },
          events,
          signal,
        )
        t.match(outcome, { kind: 'unwritten', code: 'ENOSPC' })
        t.same(failures, [])
      }
    }
  }
})

t.test('a file that is not there is Weir’s own failure', async (t) => {
  const events = { released: () => {}, fetched: () => {}, sourceFailed: () => {}, ...noPieces }
  const job = jobFor(smallNar, join(dir, 'nowhere', 'nar.zst'))
  const outcome = await ingest(
    job,
    { ...askedOnce, open: async () => null },
    events,
    new AbortController().signal,
  )
  t.match(outcome, { kind: 'unwritten', code: 'ENOENT' })
})

t.test('without a file to write to', async (t) => {
  /** Runs the chain past a reader who takes each piece at once, or never. */
  const stream = async (
    nar: Uint8Array,
    sources: readonly TestSource[],
    { takes = true, signal = new AbortController().signal, ...changes }: StreamChanges = {},
  ) => {
    const plain = plainSources(sources)
    const gives = new Map(plain.map(({ url }, index) => [url, sources[index]?.give]))
    let pieces: Uint8Array[] = []
    let restarts = 0
    const events: IngestEvents = {
      ...noPieces,
      released: () => undefined,
      fetched: () => undefined,
      sourceFailed: () => undefined,
      piece: (bytes) => {
        pieces.push(bytes)
        return takes ? Promise.resolve() : new Promise(() => undefined)
      },
      restarted: () => {
        pieces = []
        restarts += 1
      },
    }
    const job = { ...jobFor(nar, '', changes), path: null, sources: plain }
    const open = async ({ url }: NarSource, signal: AbortSignal) => gives.get(url)?.(signal) ?? null
    const outcome = await ingest(job, { ...askedOnce, open }, events, signal)
    return { outcome, file: Buffer.concat(pieces), restarts }
  }
  type StreamChanges = Partial<Omit<IngestJob, 'path'>> & {
    readonly takes?: boolean
    readonly signal?: AbortSignal
  }

  t.test('the pieces are the file that would be written', async (t) => {
    const zstd = await encodeNar('zstd', bigNar)
    for (const verifyFirst of [true, false]) {
      for (const source of [
        gives('xz', await encodeNar('xz', bigNar)),
        { ...gives('zstd', zstd), fileHash: sha256(zstd) },
      ]) {
        const written = await runIngest(jobFor(bigNar, file, { verifyFirst }), [source])
        const streamed = await stream(bigNar, [source], { verifyFirst })
        t.same(streamed.outcome, written.outcome)
        t.ok(isSame(streamed.file, written.file))
      }
    }
  })

  t.test('another source begins anew, or goes on', async (t) => {
    const sources = [
      { compression: 'none' as const, give: () => brokenOff(bigNar, 2_000_000) },
      gives('none', bigNar),
    ]
    for (const verifyFirst of [true, false]) {
      const written = await runIngest(jobFor(bigNar, file, { verifyFirst }), sources)
      const streamed = await stream(bigNar, sources, { verifyFirst })
      t.same(streamed.outcome, written.outcome)
      t.ok(isSame(streamed.file, written.file))
      t.equal(streamed.restarts, verifyFirst ? 1 : 0)
    }
  })

  t.test('the chain waits for who takes nothing, until that is given up', async (t) => {
    const leaving = new AbortController()
    let given = 0
    const noise = randomBytes(8_000_000, 5)
    const give = async function* (signal: AbortSignal) {
      for (let at = 0; at < noise.length; at += 65_536) {
        signal.throwIfAborted()
        given += 65_536
        yield await Promise.resolve(noise.subarray(at, at + 65_536))
      }
    }
    const run = stream(noise, [{ compression: 'none', give }], {
      ...{ verifyFirst: false, takes: false, signal: leaving.signal },
    })
    // As long as the chain goes on by itself, its encoder is at work.
    for (let before = -1; before !== given;) {
      before = given
      await setTimeout(100)
    }
    t.ok(given < 4_000_000, `${given} bytes were taken from the source`)
    leaving.abort()
    await t.rejects(run, { name: 'AbortError' })
  })

  t.test('a kept file that nothing names has a tag of its own', async (t) => {
    const xz = await encodeNar('xz', bigNar)
    const etags = new Set<string>()
    for (let time = 0; time < 2; time += 1) {
      const plain = plainSources([gives('xz', xz, [65_536])])
      const job = jobFor(bigNar, '', { compression: 'xz', verifyFirst: false, sources: plain })
      const events: IngestEvents = {
        ...noPieces,
        released: (_, etag) => etags.add(etag),
        fetched: () => undefined,
        sourceFailed: () => undefined,
      }
      await ingest(
        { ...job, path: null },
        { ...askedOnce, open: async () => bodyOf(xz, [65_536]) },
        events,
        new AbortController().signal,
      )
    }
    t.equal(etags.size, 2)
  })
})

t.test('an error that is no upstream’s is thrown on', async (t) => {
  const bug = new TypeError('a bug')
  const give: Give = () => {
    throw bug
  }
  const run = runIngest(jobFor(smallNar, file), [{ give }, gives('none', smallNar)])
  t.equal(await run.catch((error: unknown) => error), bug)
})

t.test('the verifier', async (t) => {
  const promise = {
    storePathHash: pathHash('0'.repeat(32)),
    narHash: must(parseHash(sha256(smallNar))),
    narSize: smallNar.length,
    ca: null,
  }
  const verifier = new NarVerifier(promise)
  verifier.update(smallNar.subarray(0, 100))
  t.equal(verifier.bytes, 100)
  t.notOk(verifier.isFull)
  t.equal(
    formatHash({ algorithm: 'sha256', bytes: verifier.prefixHash() }),
    sha256(smallNar.subarray(0, 100)),
  )
  t.throws(
    () => {
      verifier.check()
    },
    { code: 'too-short' },
  )
  t.throws(
    () => {
      verifier.update(Buffer.alloc(smallNar.length - 99))
    },
    { code: 'too-long' },
  )
  t.equal(verifier.bytes, 100, 'what is too long is not taken')
  verifier.update(smallNar.subarray(100))
  t.ok(verifier.isFull)
  verifier.check()
  verifier.check()
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

/* What is stored. */

/** What a trusted claim promises of a NAR. */
function promiseOf(nar: Uint8Array, changes: Partial<PromisedNar> = {}): PromisedNar {
  return {
    storePath: storePathNamed('00000000000000000000000000000000-x'),
    narHash: must(parseHash(sha256(nar))),
    narSize: BigInt(nar.length),
    ca: null,
    ...changes,
  }
}

/** A stored file in memory. */
const inMemory = (bytes: Uint8Array) => ({
  read: async (buffer: Uint8Array, position: number) => {
    const part = bytes.subarray(position, position + buffer.length)
    buffer.set(part)
    return part.length
  },
})

t.test('a damaged file is told as such, and never listed or taken for right', async (t) => {
  const promised = promiseOf(smallNar)
  for (const encoding of ['none', 'zstd', 'xz', 'gzip'] as const) {
    const whole = await encodeNar(encoding, smallNar)
    const right = await listStored(inMemory(whole), encoding, promised)
    t.match(right, { kind: 'listed' })
    t.equal(await verifyStored(inMemory(whole), encoding, promised), true)
    const check = async (bytes: Uint8Array, what: string): Promise<void> => {
      const outcome = await listStored(inMemory(bytes), encoding, promised)
      const isRight = await verifyStored(inMemory(bytes), encoding, promised)
      equal(isRight, outcome.kind === 'listed', what)
      // Some bits of an encoding say nothing of its content.
      if (outcome.kind === 'listed') deepEqual(outcome, right, what)
      else equal(outcome.kind, 'corrupt', what)
    }
    for (let at = 0; at < whole.length; at += 1) {
      const mutated = Uint8Array.from(whole)
      mutated[at] = (mutated[at] ?? 0) ^ (1 << (at % 8))
      await check(mutated, `${encoding}, byte ${at}`)
      if (at % 8 === 0) {
        const cut = await listStored(inMemory(whole.subarray(0, at)), encoding, promised)
        equal(cut.kind, 'corrupt', `${encoding}, cut at ${at}`)
      }
    }
    const other = await encodeNar(encoding, selfNar)
    t.match(await listStored(inMemory(other), encoding, promised), { kind: 'corrupt' })
  }
})

t.test('what is the promised file and no NAR is not listed, and not called damaged', async (t) => {
  const noNar = Buffer.from('no NAR at all')
  const trailing = Buffer.concat([smallNar, narString('more')])
  for (const bytes of [noNar, trailing, smallNar.subarray(0, 64)]) {
    const outcome = await listStored(inMemory(bytes), 'none', promiseOf(bytes))
    t.match(outcome, { kind: 'unlistable', why: /^malformed NAR near byte/ })
  }
})

t.test('worker threads', async (t) => {
  type Handler = (request: IncomingMessage, response: ServerResponse) => void
  const handlers = new Map<string, Handler>()
  const server: Server = createServer((request, response) => {
    const handler = handlers.get(request.url ?? '')
    if (handler === undefined) response.writeHead(404).end()
    else handler(request, response)
  })
  // Its time begins before a slow reader has got everything.
  server.keepAliveTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const upstreamNamed = (name: string): UpstreamOptions =>
    plainUpstream({ name, url: `http://127.0.0.1:${port}/${name}` })
  const setup = { upstreams: [upstreamNamed('a'), upstreamNamed('b')] }
  const serve = (path: string, bytes: Uint8Array): void => {
    handlers.set(path, (_, response) => response.end(bytes))
  }
  const from = (upstream: string, url: string, compression: Compression): NarSource => ({
    upstream,
    url,
    file: null,
    compression,
    fileHash: null,
  })
  const pool = createIngestPool(2, setup)
  t.teardown(() => pool.close())
  let files = 0
  const start = async (
    ingesting: NarIngest,
    nar: Uint8Array,
    sources: readonly NarSource[],
    changes: Partial<FileJob> & { readonly signal?: AbortSignal } = {},
  ): Promise<IngestRun> => {
    const { signal = new AbortController().signal, ...rest } = changes
    const path = join(dir, `pool-${(files += 1)}`)
    writeFileSync(path, '')
    const events: IngestRun['events'][number][] = []
    const released: Buffer[] = []
    const job = jobFor(nar, path, { sources, ...rest })
    const told: IngestEvents = {
      released: (bytes, etag) => {
        events.push({ kind: 'released', bytes, etag })
        released.push(readFileSync(path).subarray(0, bytes))
      },
      sourceFailed: (failure) => events.push({ kind: 'failed', failure }),
      fetched: (upstream, bytes) => events.push({ kind: 'fetched', upstream, bytes }),
      ...noPieces,
    }
    const outcome = await ingesting.ingest(job, told, signal)
    return { outcome, file: readFileSync(job.path), events, released }
  }

  for (const encoding of encodings) {
    serve(
      `/a/nar/big.${encoding}`,
      await encodeNar(encoding, encoding === 'bzip2' ? patternNar : bigNar),
    )
  }
  const expected = await runIngest(jobFor(bigNar, file), [gives('none', bigNar)])

  t.test('a job without a file gives its pieces, and waits until they are taken', async (t) => {
    const pieces: Uint8Array[] = []
    let untaken = 0
    let mostUntaken = 0
    const events: IngestEvents = {
      ...noPieces,
      released: () => undefined,
      fetched: () => undefined,
      sourceFailed: () => undefined,
      piece: async (bytes) => {
        pieces.push(bytes)
        untaken += bytes.length
        mostUntaken = Math.max(mostUntaken, untaken)
        await setTimeout(1)
        untaken -= bytes.length
      },
      restarted: () => undefined,
    }
    const sources = [from('a', 'nar/big.xz', 'xz')]
    const job = { ...jobFor(bigNar, '', { sources, verifyFirst: false }), path: null }
    const running = pool.ingest(job, events, new AbortController().signal)
    t.same(await running, { ...expected.outcome, upstream: 'a' })
    t.ok(isSame(Buffer.concat(pieces), expected.file))
    t.ok(mostUntaken < expected.file.length)
  })

  t.test('a job gives what the chain gives, its events in order', async (t) => {
    const run = await start(pool, bigNar, [from('a', 'nar/big.xz', 'xz')], { verifyFirst: false })
    t.same(run.outcome, { ...expected.outcome, upstream: 'a' })
    t.ok(isSame(run.file, expected.file))
    t.ok(run.released.length > 3)
    let before = 0
    for (const part of run.released) {
      ok(part.length > before)
      before = part.length
      ok(isSame(part, run.file.subarray(0, part.length)))
    }
    t.match(run.events.at(-1), { kind: 'fetched', upstream: 'a' }, 'all of them before the outcome')
  })

  t.test('sources that fail are told of, and the next is asked', async (t) => {
    handlers.set('/b/nar/cut', (_, response) => {
      response.writeHead(200, { 'content-length': bigNar.length })
      response.write(bigNar.subarray(0, 2_000_000), () => {
        response.destroy()
      })
    })
    handlers.set('/b/nar/down', (_, response) => response.writeHead(500).end())
    const run = await start(
      pool,
      bigNar,
      [
        from('b', 'nar/none', 'xz'),
        from('b', 'nar/down', 'xz'),
        from('b', 'nar/cut', 'none'),
        from('b', '../../etc/passwd', 'none'),
        from('a', 'nar/big.br', 'br'),
      ],
      { verifyFirst: false },
    )
    t.same(failureCodes(run), ['absent', 'status', 'reset', 'url-refused'])
    t.ok(isSame(run.file, expected.file), 'gone on from where one was cut')
  })

  t.test('many jobs run at once', async (t) => {
    const jobs = Array.from({ length: 60 }, (_, index) => {
      const encoding = must(encodings[index % encodings.length])
      const nar = encoding === 'bzip2' ? patternNar : bigNar
      return start(pool, nar, [from('a', `nar/big.${encoding}`, encoding)]).then(
        ({ outcome, file }) => outcome.kind === 'verified' && isSame(zstdDecompressSync(file), nar),
      )
    })
    t.ok((await Promise.all(jobs)).every((isRight) => isRight))
  })

  t.test('an abort ends its own job alone, and closes the connection', async (t) => {
    const one = createIngestPool(1, setup)
    const stalled = Promise.withResolvers<ServerResponse>()
    const other = Promise.withResolvers<ServerResponse>()
    handlers.set('/a/nar/stalled', (_, response) => {
      response.write(bigNar.subarray(0, 1_000_000), () => {
        stalled.resolve(response)
      })
    })
    handlers.set('/a/nar/other', (_, response) => {
      response.write(bigNar.subarray(0, 1_000_000), () => {
        other.resolve(response)
      })
    })
    const abort = new AbortController()
    const aborted = start(one, bigNar, [from('a', 'nar/stalled', 'none')], {
      signal: abort.signal,
    }).catch((error: unknown) => error)
    const running = start(one, bigNar, [from('a', 'nar/other', 'none')])
    const connection = await stalled.promise
    const closed = once(connection, 'close')
    const rest = await other.promise
    abort.abort()
    t.match(await aborted, { name: 'AbortError' })
    await closed
    rest.end(bigNar.subarray(1_000_000))
    t.equal((await running).outcome.kind, 'verified')
    const before = start(one, bigNar, [], { signal: AbortSignal.abort() })
    await t.rejects(before, { name: 'AbortError' }, 'before it began')
    await one.close()
  })

  t.test('Weir’s own failure rejects the job, and the thread goes on', async (t) => {
    const one = createIngestPool(1, setup)
    const sources = [from('a', 'nar/big.zstd', 'zstd')]
    await t.rejects(start(one, bigNar, sources, { path: join(dir, 'nowhere', 'file') }), /ENOENT/)
    await t.rejects(start(one, bigNar, sources, { narHash: 'no hash' }))
    t.equal((await start(one, bigNar, sources)).outcome.kind, 'verified')
    await one.close()
  })

  t.test('jobs of a thread that dies, or that is closed, are rejected', async (t) => {
    const dying = createIngestPool(1, { upstreams: [{ ...upstreamNamed('a'), url: 'no url' }] })
    await t.rejects(start(dying, smallNar, []), /worker thread died/)
    await dying.close()
    const closing = createIngestPool(1, setup)
    const begun = once(server, 'request')
    handlers.set('/a/nar/never', (_, response) => response.write('x'))
    const job = start(closing, smallNar, [from('a', 'nar/never', 'none')])
    const rejected = t.rejects(job, /worker thread died/)
    await begun
    await closing.close()
    await rejected
    await t.rejects(start(closing, smallNar, []), 'and none is taken afterwards')
  })

  const openStored = async (encoding: Encoding, bytes: Uint8Array) => {
    const path = join(dir, `stored-${(files += 1)}`)
    writeFileSync(path, bytes)
    const file = await open(path, 'r')
    // Descriptors are of the open file, whatever becomes of its name.
    rmSync(path)
    t.teardown(() => file.close().catch(() => undefined))
    return { file: { fd: file.fd }, compression: encoding, close: () => file.close() }
  }
  const signal = new AbortController().signal

  t.test('a stored NAR is listed, verified and read, in every encoding', async (t) => {
    for (const encoding of encodings) {
      const stored = await openStored(encoding, await encodeNar(encoding, patternNar))
      const promised = promiseOf(patternNar)
      const outcome = await pool.reader.list(stored, promised, signal)
      const listing = outcome.kind === 'listed' ? Buffer.from(outcome.listing).toString() : ''
      t.match(listing, /"bin":\{"type":"regular","size":150000,"executable":true,"narOffset":\d+\}/)
      const offset = Number(/"narOffset":(\d+)/.exec(listing)?.[1])
      t.ok(await pool.reader.verify(stored, promised, signal), encoding)
      const wrong = { ...promised, narSize: promised.narSize + 8n }
      t.notOk(await pool.reader.verify(stored, wrong, signal), encoding)
      for (const [first, size] of [
        [offset, 150_000],
        [offset + 1, 1],
        [0, patternNar.length],
        [patternNar.length, 0],
      ] as const) {
        const part = await collect(pool.reader.read(stored, { offset: first, size }, signal))
        t.ok(isSame(part, patternNar.subarray(first, first + size)), `${encoding}, ${first}`)
      }
      const beyond = { offset: patternNar.length - 5, size: 6 }
      await t.rejects(collect(pool.reader.read(stored, beyond, signal)), /ends before/)
    }
  })

  t.test('a content address counts when a stored NAR is verified', async (t) => {
    const stored = await openStored('none', selfNar)
    const storePath = storePathNamed(/StorePath: .*\/(.*)/.exec(selfNarinfo)?.[1] ?? '')
    const ca = parseContentAddress(/CA: (.*)/.exec(selfNarinfo)?.[1] ?? '')
    const promised = promiseOf(selfNar, { storePath, ca })
    t.equal(await pool.reader.verify(stored, promised, signal), true)
    const other = storePathNamed('00000000000000000000000000000000-x')
    t.equal(await pool.reader.verify(stored, { ...promised, storePath: other }, signal), false)
  })

  t.test('a file that cannot be read is Weir’s own failure', async (t) => {
    const folder = await open(dir, 'r')
    const stored = { file: { fd: folder.fd }, compression: 'zstd' } as const
    await t.rejects(pool.reader.list(stored, promiseOf(smallNar), signal), /EISDIR/)
    await t.rejects(pool.reader.verify(stored, promiseOf(smallNar), signal), /EISDIR/)
    await t.rejects(collect(pool.reader.read(stored, { offset: 0, size: 1 }, signal)), /EISDIR/)
    await folder.close()
  })

  t.test('a read that is left or aborted lets go of its file, and of it alone', async (t) => {
    const nar = mixedNar(5_000_000, seed)
    const stored = await openStored('none', nar)
    const whole = { offset: 0, size: nar.length }
    const other = pool.reader.read(stored, whole, signal)
    for await (const piece of pool.reader.read(stored, whole, signal)) {
      ok(piece.length > 0 && piece.length < nar.length)
      break
    }
    const abort = new AbortController()
    const aborted = async (): Promise<void> => {
      for await (const piece of pool.reader.read(stored, whole, abort.signal)) {
        ok(piece.length > 0)
        abort.abort()
      }
    }
    await t.rejects(aborted(), { name: 'AbortError' })
    const aborting = new AbortController()
    const listing = pool.reader.list(stored, promiseOf(nar), aborting.signal)
    aborting.abort()
    await t.rejects(listing, { name: 'AbortError' })
    await t.rejects(pool.reader.verify(stored, promiseOf(nar), AbortSignal.abort()), {
      name: 'AbortError',
    })
    t.ok(isSame(await collect(other), nar))
  })

  t.test('a thread that dies fails what it reads, and is replaced at once', async (t) => {
    const deaths: unknown[] = []
    const one = createIngestPool(1, setup, { died: (error) => deaths.push(error) })
    const stored = await openStored('none', bigNar)
    const whole = { offset: 0, size: bigNar.length }
    const reading = (async () => {
      for await (const piece of one.reader.read(stored, whole, signal)) {
        ok(piece.length > 0)
        // An upstream that is none ends the thread.
        one.configure({ upstreams: [{ ...upstreamNamed('a'), url: 'no url' }] })
        one.configure(setup)
      }
    })()
    await t.rejects(reading, /worker thread died/)
    t.equal(deaths.length, 1)
    t.ok(isSame(await collect(one.reader.read(stored, whole, signal)), bigNar))
    await one.close()
  })

  t.test('threads that die at their start are replaced after ever longer pauses', async (t) => {
    t.same([0, 1, 2, 3, 9, 10, 2000].map(pauseAfter), [0, 100, 200, 400, 25_600, 30_000, 30_000])
    const pauses: { readonly act: () => void; readonly ms: number }[] = []
    let paused = Promise.withResolvers<undefined>()
    const dying = createIngestPool(1, setup, {
      file: new URL('data:text/javascript,throw new Error("broken")'),
      later: (act, ms) => {
        pauses.push({ act, ms })
        paused.resolve(undefined)
        return () => pauses.splice(0)
      },
    })
    const stored = await openStored('none', smallNar)
    const list = () => dying.reader.list(stored, promiseOf(smallNar), signal)
    for (const expected of [100, 200, 400]) {
      await t.rejects(list(), /worker thread died/, 'what was given to it')
      await paused.promise
      t.equal(pauses[0]?.ms, expected)
      await t.rejects(list(), /no ingest worker thread runs/, 'nobody waits through a pause')
      paused = Promise.withResolvers()
      pauses.shift()?.act()
    }
    await t.rejects(list(), /worker thread died/)
    await dying.close()
    t.same(pauses, [], 'nothing is started after the end')
  })
})
