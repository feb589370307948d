/** What is handed out of a NAR on its way: from a file, or past its one reader. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { ingest } from '../../src/ingest/ingestion.ts'
import type { IngestEvents, IngestJob, NarSource } from '../../src/ports/nar-ingest.ts'
import { bodyOf, encodeNar, patternNar, randomBytes } from '../fakes/encode-nar.ts'
import {
  askedOnce,
  failureCodes,
  jobFor,
  noPieces,
  plainSources,
  runIngest,
  sha256,
  type TestSource,
} from '../fakes/ingest-run.ts'
import {
  bigNar,
  brokenOff,
  decodePrefix,
  gives,
  isSame,
  seed,
  variants,
} from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

const file = join(t.testdir(), 'nar.zst')

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
