/** One source after another. */
import { ok } from 'node:assert/strict'
import { join } from 'node:path'
import t from 'tap'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { bodyOf, encodeNar, encodings, type Encoding, random } from '../fakes/encode-nar.ts'
import {
  failureCodes,
  type Give,
  jobFor,
  runIngest,
  sha256,
  type TestSource,
} from '../fakes/ingest-run.ts'
import {
  again,
  bigNar,
  brokenOff,
  decodePrefix,
  gives,
  inTurn,
  isSame,
  seed,
} from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const file = join(t.testdir(), 'nar.zst')

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
