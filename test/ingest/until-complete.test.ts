/** Files that do not end: whoever promised more than there is keeps its connection open. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { bodyOf, encodeNar, encodings, mixedNar, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'

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

/** All of it, slowly: its last bytes come after more than two looks. */
async function* withPauses(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (const part of [bytes.subarray(0, 1_000_000), bytes.subarray(1_000_000, -3)]) {
    yield* bodyOf(part)
    await setTimeout(600)
  }
  yield bytes.subarray(-3)
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

t.test('a NAR that is made anew needs no end of its file', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  // The last 12 bytes of an xz file are its footer.
  const cut = { give: (signal: AbortSignal) => openEnded(encoded.subarray(0, -6), signal) }
  for (const verifyFirst of [true, false]) {
    const run = await runIngest(jobFor(bigNar, file, { verifyFirst }), [cut])
    t.equal(run.outcome.kind, 'verified')
    t.same(failureCodes(run), [])
  }
})

t.test('who goes on with a NAR that is whole, and is slow, is not given up', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const cut = { give: () => bodyOf(encoded.subarray(0, -6)) }
  const slow = { give: () => withPauses(encoded) }
  const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [cut, slow])
  t.equal(run.outcome.kind, 'verified')
  t.same(failureCodes(run), ['undecodable'])
})

t.test(
  'who goes on with a whole NAR that is wrong, and is slow, is not blamed for it',
  async (t) => {
    const wrong = Buffer.from(bigNar)
    wrong.writeUInt8(wrong.readUInt8(1000) ^ 1, 1000)
    const cut = (await encodeNar('xz', wrong)).subarray(0, -6)
    const right = await encodeNar('xz', bigNar)
    const run = await runIngest(jobFor(bigNar, file, { verifyFirst: false }), [
      { give: () => bodyOf(cut) },
      { give: () => withPauses(right) },
    ])
    t.equal(run.outcome.kind, 'failed')
    t.same(failureCodes(run), ['undecodable', 'prefix-mismatch'])
  },
)

t.test('what is kept, and has a name, is waited for to its end', async (t) => {
  for (const compression of ['xz', 'zstd', 'gzip'] as const) {
    for (const changes of [{ verifyFirst: false }, { verifyFirst: true }]) {
      const encoded = await encodeNar(compression, bigNar)
      const fileHash = sha256(encoded)
      const run = await runIngest(jobFor(bigNar, file, { compression, ...changes }), [
        { compression, fileHash, give: () => withPauses(encoded) },
      ])
      t.equal(run.outcome.kind, 'verified', compression)
      t.same(failureCodes(run), [])
      t.ok(run.file.equals(encoded))
    }
  }
})

t.test('of what is copied nothing more is waited for once it is whole', async (t) => {
  const encoded = await encodeNar('zstd', bigNar)
  const run = await runIngest(jobFor(bigNar, file, { mayCopy: true }), [
    {
      compression: 'zstd',
      fileHash: sha256(encoded),
      give: (signal) => openEnded(encoded, signal),
    },
  ])
  t.equal(run.outcome.kind, 'copied')
  t.ok(run.file.equals(encoded))
})

t.test('nobody is blamed for the file of another one that is over', async (t) => {
  const encoded = await encodeNar('xz', bigNar)
  const fileHash = `sha512:${'0'.repeat(103)}`
  const job = jobFor(bigNar, file, { compression: 'xz', verifyFirst: false })
  const cut = (signal: AbortSignal) => openEnded(encoded.subarray(0, -6), signal)
  const run = await runIngest(job, [
    { compression: 'xz', fileHash, give: cut },
    { compression: 'xz', fileHash, give: () => bodyOf(encoded) },
  ])
  t.equal(run.outcome.kind, 'failed')
  t.same(failureCodes(run), ['timeout'])
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
