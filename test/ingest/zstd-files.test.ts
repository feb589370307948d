/** zstd files: their frames, and what may follow them. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { join } from 'node:path'
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { wholeFrames } from '../../src/ingest/decode-nar.ts'
import { ZstdFrameError, ZstdFrames } from '../../src/ingest/zstd-frames.ts'
import { bodyOf, mixedNar, randomBytes, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'
import {
  chunkings,
  collect,
  decode,
  decodingFault,
  gives,
  isSame,
  seed,
} from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const dir = t.testdir()
const file = join(dir, 'nar.zst')

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
