import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { decodeNar } from '../../src/ingest/decode-nar.ts'
import { loadLzma, lzmaVersion } from '../../src/ingest/lzma-coder.ts'
import { madeEtag } from '../../src/ingest/representation.ts'
import {
  bodyOf,
  encodeNar,
  type Encoding,
  mixedNar,
  patternNar,
  random,
  smallNar,
} from '../fakes/encode-nar.ts'
import { failureCodes, jobFor, runIngest, sha256 } from '../fakes/ingest-run.ts'
import { must } from '../nix/fixtures.ts'

const file = join(t.testdir(), 'nar')
const bigNar = mixedNar(1_500_000, 1)
/** Whose last piece is a full one. */
const evenNar = mixedNar(2 * 256 * 1024 - 112, 1)
const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

/** What a program makes of its input. */
function run(program: string, args: readonly string[], input: Uint8Array): Buffer {
  const { stdout, status, stderr } = spawnSync(program, args, { input, maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error(`${program}: ${stderr.toString()}`)
  return stdout
}

const hasProgram = (program: string): boolean => spawnSync(program, ['--version']).status === 0

/** The decoders that clients have. */
const decoders: Readonly<Record<Exclude<Encoding, 'bzip2'>, (file: Buffer) => Uint8Array>> = {
  xz: (made) => run('xz', ['-dc'], made),
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: (made) => zstdDecompressSync(made),
  none: (made) => made,
}
const made = ['xz', 'gzip', 'br', 'zstd', 'none'] as const

for (const compression of made) {
  const skip = compression === 'xz' && !hasProgram('xz') ? 'there is no xz program' : false
  t.test(`a file made in ${compression} is the same, however the NAR came`, { skip }, async (t) => {
    const next = random(7)
    const sizes = Array.from({ length: 100 }, () => 1 + (next() % 60_000))
    // As it comes from none, and for `none` from xz: what is in the wanted compression already would be kept.
    const from = compression === 'none' ? 'xz' : 'none'
    for (const nar of [smallNar, patternNar, evenNar, bigNar]) {
      const etags = new Set<string>()
      const hashes = new Set<string>()
      const encoded = await encodeNar(from, nar)
      for (const cut of [sizes, [65_536], [Infinity]]) {
        for (const verifyFirst of [true, false]) {
          const job = jobFor(nar, file, { compression, verifyFirst })
          const source = { compression: from, give: () => bodyOf(encoded, cut) } as const
          const { outcome, file: bytes, released } = await runIngest(job, [source])
          if (outcome.kind !== 'verified') throw new Error(outcome.kind)
          etags.add(outcome.etag)
          hashes.add(sha256(bytes))
          if (hashes.size === 1 && verifyFirst) t.ok(isSame(decoders[compression](bytes), nar))
          const isPart = released.every((part) => part.length < bytes.length)
          t.ok(isPart, 'what completes it is released by nobody before the check')
        }
      }
      t.equal(hashes.size, 1, `${nar.length} bytes`)
      t.same([...etags], [madeEtag(sha256(nar), compression, 1)])
    }
  })

  t.test(`a wrong NAR is never complete in ${compression}`, async (t) => {
    const from = compression === 'none' ? 'xz' : 'none'
    const encoded = await encodeNar(from, bigNar)
    const job = jobFor(bigNar, file, {
      compression,
      verifyFirst: false,
      narHash: sha256(patternNar),
    })
    const source = { compression: from, give: () => bodyOf(encoded) } as const
    const run = await runIngest(job, [source])
    t.equal(run.outcome.kind, 'failed')
    t.same(failureCodes(run), ['nar-hash-mismatch'])
    const last = must(run.released.at(-1))
    t.throws(() => {
      if (isSame(decoders[compression](last), bigNar)) return
      throw new Error('a part of it')
    })
  })
}

t.test('the ETag names what the made bytes depend on', async (t) => {
  await loadLzma()
  const hash = 'a'.repeat(52)
  const { zlib, brotli, zstd = '' } = process.versions
  const encoders = {
    xz: `xz${lzmaVersion()}-0`,
    gzip: `gzip${zlib}-1`,
    br: `br${brotli}-1`,
    zstd: `zstd${zstd}-3`,
    none: 'none',
  }
  t.match(lzmaVersion(), /^\d+\.\d+\.\d+/)
  for (const compression of made) {
    const etag = madeEtag(`sha256:${hash}`, compression, 3)
    t.equal(etag, `"${hash}-${encoders[compression]}-1"`)
  }
})

t.test('what nobody makes is not asked for', async (t) => {
  let isAsked = false
  const give = (): AsyncGenerator<Uint8Array> => {
    isAsked = true
    return bodyOf(patternNar)
  }
  const job = jobFor(patternNar, file, { compression: 'bzip2' })
  const run = await runIngest(job, [{ compression: 'none', give }])
  t.same(failureCodes(run), ['not-made'])
  t.notOk(isAsked, 'no connection is left open')
})

t.test('a file that is copied is held against its FileHash alone', async (t) => {
  const xz = await encodeNar('xz', bigNar)
  const job = jobFor(patternNar, file, { compression: 'xz', mayCopy: true, verifyFirst: false })
  const source = { compression: 'xz', give: () => bodyOf(xz, [20_000]) } as const
  // The bound is that of a NAR of the promised size.
  const wide = { ...job, narSize: bigNar.length }
  const copied = await runIngest(wide, [{ ...source, fileHash: sha256(xz) }])
  t.equal(copied.outcome.kind, 'copied')
  t.ok(isSame(copied.file, xz))
  t.ok(must(copied.released.at(-1)).length < xz.length)
  const first = await runIngest({ ...wide, verifyFirst: true }, [
    { ...source, fileHash: sha256(bigNar) },
    { ...source, fileHash: sha256(xz) },
  ])
  t.same(failureCodes(first), ['file-hash-mismatch'])
  t.match(first.outcome, { kind: 'copied', upstream: 'second' }, 'a small one may be another’s')
  t.same(first.released, [])
  const wrong = await runIngest(wide, [{ ...source, fileHash: sha256(bigNar) }])
  t.same(failureCodes(wrong), ['file-hash-mismatch'])
  t.ok(must(wrong.released.at(-1)).length < xz.length, 'it never completes')
  const long = await runIngest(job, [{ ...source, fileHash: sha256(xz) }])
  t.same(failureCodes(long), ['too-long'])
  const unnamed = await runIngest(wide, [{ ...source, fileHash: null }])
  t.same(failureCodes(unnamed), ['nar-hash-mismatch'], 'without one it is verified')
  t.same(unnamed.released, [])
  for (const other of ['md5:', 'sha1:', 'sha512:']) {
    const fileHash = `${other}${'0'.repeat(52)}`
    const run = await runIngest(wide, [{ ...source, fileHash }])
    t.same(failureCodes(run), ['nar-hash-mismatch'], `${other} is no hash to go by`)
  }
})

t.test(
  'what the bzip2 program writes is decoded: several blocks, and several streams',
  { skip: hasProgram('bzip2') ? false : 'there is no bzip2 program' },
  async (t) => {
    const decode = async (bytes: Uint8Array, sizes: readonly number[]): Promise<Buffer> => {
      const pieces: Uint8Array[] = []
      for await (const piece of decodeNar('bzip2', bodyOf(bytes, sizes), 2 ** 30)) {
        pieces.push(piece)
      }
      return Buffer.concat(pieces)
    }
    const nar = bigNar.subarray(0, 500_000)
    const blocks = run('bzip2', ['-1c'], nar)
    const streams = Buffer.concat([
      run('bzip2', ['-1c'], nar.subarray(0, 150_000)),
      run('bzip2', ['-9c'], Buffer.alloc(0)),
      run('bzip2', ['-9c'], nar.subarray(150_000)),
    ])
    for (const bytes of [blocks, streams]) {
      for (const sizes of [[777], [65_536], [Infinity]]) {
        t.ok(isSame(await decode(bytes, sizes), nar), `${bytes.length} bytes, ${sizes.join()}`)
      }
      for (const length of [bytes.length - 1, bytes.length - 11, bytes.length >> 1]) {
        await t.rejects(decode(bytes.subarray(0, length), [65_536]), { code: 'undecodable' })
      }
    }
    const damaged = Buffer.from(blocks)
    damaged[200_000] = (damaged[200_000] ?? 0) ^ 1
    await t.rejects(decode(damaged, [65_536]), { code: 'undecodable' }, 'checksums are checked')
  },
)

t.test('a bzip2 bomb takes the memory of one block', async (t) => {
  // `head -c 45000000 /dev/zero | bzip2 -9`: one block.
  const block = Buffer.from(
    'QlpoOTFBWSZTWckBtsgBWKtAIMAAEAAACCAAMMwFKaZSSFJsVJIUni7kinChIZIDbZA=',
    'base64',
  )
  const bomb = Buffer.concat(Array.from({ length: 1000 }, () => block))
  const before = process.resourceUsage().maxRSS
  const job = jobFor(smallNar, file, { narSize: 100_000_000 })
  const { outcome } = await runIngest(job, [{ compression: 'bzip2', give: () => bodyOf(bomb) }])
  t.equal(outcome.kind, 'failed')
  const grownMiB = (process.resourceUsage().maxRSS - before) / 1024
  t.ok(grownMiB < 160, `${Math.round(grownMiB)} MiB`)
})
