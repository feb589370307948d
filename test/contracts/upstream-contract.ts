import { Buffer } from 'node:buffer'
import type { Test } from 'tap'
import { parseDrvOutput } from '../../src/nix/drv-output.ts'
import { maxNarinfoBytes } from '../../src/nix/narinfo.ts'
import { type Upstream, type UpstreamBody, UpstreamError } from '../../src/ports/upstream.ts'
import { must, pathHash } from '../nix/fixtures.ts'

/** A binary cache that a test fills, and the upstream that asks it. */
export type CacheUnderTest = {
  readonly upstream: Upstream
  readonly put: (path: string, content: Uint8Array | string) => Promise<void>
  /** From now on it is not there: a server that is gone, a folder that is not mounted. */
  readonly vanish: () => Promise<void>
}

const hash = pathHash('05fkk8iijk1kq5cpqwnfcnh5yks8nj4m')
const output = must(parseDrvOutput(`sha256:${'0a'.repeat(32)}!out`))
const patient = new AbortController().signal
const log = '0v2k8x5n7b5dq5b1hkqpk9m1vq0jz8kf-a+b.drv'

/** Everything that an upstream is asked for, and where a binary cache keeps it. */
const objects: readonly (readonly [string, (upstream: Upstream) => Promise<unknown>])[] = [
  ['nix-cache-info', (upstream) => upstream.cacheInfo(patient)],
  [`${hash}.narinfo`, (upstream) => upstream.narinfo(hash, patient)],
  ['nar/x.nar.xz', async (upstream) => bytesOf(await upstream.nar('nar/x.nar.xz', patient))],
  [`log/${log}`, async (upstream) => bytesOf(await upstream.buildLog(log, patient))],
  [`realisations/${output.id}.doi`, (upstream) => upstream.realisation(output, patient)],
]

/** A whole body; null where there is none. */
export async function bytesOf(body: UpstreamBody | null): Promise<Buffer | null> {
  if (body === null) return null
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** What somebody ends with: the code of an UpstreamError, or what else it is. */
export async function codeOf(action: Promise<unknown>): Promise<unknown> {
  try {
    await action
    return 'no error'
  } catch (error) {
    return error instanceof UpstreamError ? error.code : error
  }
}

/** What every kind of upstream does; `make` gives a new, empty cache. */
export function upstreamContract(
  t: Test,
  kind: string,
  make: (t: Test) => Promise<CacheUnderTest>,
): void {
  t.test(`${kind}: each object is read where a binary cache keeps it`, async (t) => {
    const { upstream, put } = await make(t)
    for (const [path] of objects) await put(path, `at ${path}`)
    for (const [path, ask] of objects) t.equal(String(await ask(upstream)), `at ${path}`)
  })

  t.test(`${kind}: what is not in a cache that is there is certainly absent`, async (t) => {
    const { upstream, put } = await make(t)
    await put('nix-cache-info', 'StoreDir: /nix/store\n')
    for (const [path, ask] of objects.slice(1)) t.equal(await ask(upstream), null, path)
  })

  t.test(`${kind}: of a cache that is not there nothing is said to be absent`, async (t) => {
    const { upstream, put, vanish } = await make(t)
    await put('nix-cache-info', 'StoreDir: /nix/store\n')
    await vanish()
    for (const [path, ask] of objects) t.equal(await codeOf(ask(upstream)), 'connect', path)
  })

  t.test(`${kind}: a large NAR comes whole, in pieces that may be kept`, async (t) => {
    const { upstream, put } = await make(t)
    const content = Buffer.from(Array.from({ length: 1_500_001 }, (_, index) => index % 251))
    await put('nar/large.nar', content)
    t.ok((await bytesOf(await upstream.nar('nar/large.nar', patient)))?.equals(content))
    await put('nar/empty.nar', '')
    t.equal((await bytesOf(await upstream.nar('nar/empty.nar', patient)))?.length, 0)
  })

  t.test(
    `${kind}: an answer up to its bound is read, and one byte more is too large`,
    async (t) => {
      const { upstream, put } = await make(t)
      await put(`${hash}.narinfo`, Buffer.alloc(maxNarinfoBytes))
      t.equal((await upstream.narinfo(hash, patient))?.length, maxNarinfoBytes)
      await put(`${hash}.narinfo`, Buffer.alloc(maxNarinfoBytes + 1))
      t.equal(await codeOf(upstream.narinfo(hash, patient)), 'too-large')
    },
  )

  t.test(`${kind}: a URL that leaves the cache is refused`, async (t) => {
    const { upstream, put } = await make(t)
    await put('nix-cache-info', 'StoreDir: /nix/store\n')
    const urls = [
      ...['../x', 'nar/../../x', 'nar/%2e%2e/%2e%2e/x', '..%2fx', 'nar\\..\\x', '/x/../../y'],
      ...['http://other.example/nar/x', '//other.example/nar/x', 'file:///etc/passwd', 'data:,x'],
    ]
    for (const url of urls) {
      t.equal(await codeOf(upstream.nar(url, patient).then(bytesOf)), 'url-refused', url)
    }
  })

  t.test(`${kind}: who leaves gets the reason that was given`, async (t) => {
    const { upstream, put } = await make(t)
    await put('nar/large.nar', Buffer.alloc(4_000_000))
    const reason = new Error('no longer wanted')
    const gone = AbortSignal.abort(reason)
    t.equal(await codeOf(upstream.narinfo(hash, gone)), reason)
    t.equal(await codeOf(upstream.nar('nar/large.nar', gone)), reason)
    const leaving = new AbortController()
    const body = await upstream.nar('nar/large.nar', leaving.signal)
    const read = async (): Promise<void> => {
      for await (const chunk of body ?? []) {
        if (chunk.length > 0) leaving.abort(reason)
      }
    }
    t.equal(await codeOf(read()), reason)
  })
}
