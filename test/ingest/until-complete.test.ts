/** Files that do not end: whoever promised more than there is keeps its connection open. */
import { join } from 'node:path'
import t from 'tap'
import { bodyOf, encodeNar, encodings, mixedNar, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest } from '../fakes/ingest-run.ts'

const file = join(t.testdir(), 'nar')
const bigNar = mixedNar(3_000_000, 20261126)

/** The bytes, and then nothing, until the reader leaves. */
async function* openEnded(bytes: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* bodyOf(bytes, [100_000])
  await new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error)
    })
  })
}

t.test('of a NAR that is whole nothing more is waited for', async (t) => {
  // bzip2's decoder gives a block out only when it has seen what follows.
  for (const compression of encodings.filter((each) => each !== 'bzip2')) {
    for (const [nar, verifyFirst] of [
      [smallNar, true],
      [bigNar, false],
    ] as const) {
      const encoded = await encodeNar(compression, nar)
      let left = 0
      const run = await runIngest(jobFor(nar, file, { verifyFirst }), [
        {
          compression,
          give: (signal) => {
            signal.addEventListener('abort', () => (left += 1))
            return openEnded(encoded, signal)
          },
        },
      ])
      t.equal(run.outcome.kind, 'verified', `${compression}, ${nar.length} bytes`)
      t.equal(left, 1, 'and its connection is closed')
    }
  }
})

t.test('what is kept as it comes is kept whole', async (t) => {
  for (const compression of ['xz', 'none', 'gzip'] as const) {
    const encoded = await encodeNar(compression, bigNar)
    const run = await runIngest(jobFor(bigNar, file, { compression }), [
      { compression, give: (signal) => openEnded(encoded, signal) },
    ])
    t.equal(run.outcome.kind, 'verified')
    t.ok(run.file.equals(encoded), compression)
  }
})

t.test('where the end of the file is missing that is no wrong NAR, but none at all', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const whole = { give: () => bodyOf(encoded) }
  // The last 12 bytes of an xz file are its footer.
  const cut = { give: (signal: AbortSignal) => openEnded(encoded.subarray(0, -6), signal) }
  const alone = await runIngest(jobFor(bigNar, file), [cut])
  t.equal(alone.outcome.kind, 'failed')
  t.same(failureCodes(alone), ['timeout'])
  const beside = await runIngest(jobFor(bigNar, file), [cut, whole])
  t.equal(beside.outcome.kind, 'verified')
})

t.test('a wrong NAR stays wrong, however long it is waited for', async (t) => {
  const wrong = Buffer.from(smallNar)
  wrong.writeUInt8(wrong.readUInt8(wrong.length - 20) ^ 1, wrong.length - 20)
  const run = await runIngest(jobFor(smallNar, file), [
    { compression: 'none', give: (signal) => openEnded(wrong, signal) },
  ])
  t.equal(run.outcome.kind, 'failed')
  t.same(failureCodes(run), ['nar-hash-mismatch'])
})
