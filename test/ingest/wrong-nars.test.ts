/** What is not the promised NAR. */
import { equal, ok } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { NarVerifier } from '../../src/ingest/nar-verifier.ts'
import { formatContentAddress, parseContentAddress } from '../../src/nix/content-address.ts'
import { formatHash, parseHash } from '../../src/nix/hash.ts'
import { encodeNar, patternNar, smallNar } from '../fakes/encode-nar.ts'
import { failureCodes, type FileJob, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'
import { decodePrefix, gives, isSame, variants } from '../fakes/ingest-sources.ts'
import { must, pathHash, selfNar, selfNarinfo } from '../nix/fixtures.ts'
import { writeNar } from '../nix/tree.ts'

// Its mutations are many, and machines that are busy.
t.setTimeout(600_000)

const file = join(t.testdir(), 'nar.zst')

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
