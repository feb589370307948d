import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress } from 'node:zlib'
import { formatHash } from '../../src/nix/hash.ts'
import { formatNarinfo } from '../../src/nix/narinfo.ts'
import { formatPublicKey, generateSecretKey } from '../../src/nix/signature.ts'
import { askMetric } from '../lab/ask-weir.ts'
import { changed, makeOffer, type Offer, signedBy } from '../lab/forged-offer.ts'
import { startWeir, type WeirProcess } from '../lab/weir-process.ts'
import { storeDir } from '../nix/fixtures.ts'
import { narUrlOf } from './fetch-path.ts'
import { type HugeNar, makeHugeNar } from './huge-nar.ts'
import type { Encoding } from './made-cache.ts'
import type { Tally } from './tally.ts'

export type BigOptions = {
  readonly bytes: number
  readonly clients: number
  /** What the NARs are of, and in which encodings they come. */
  readonly kinds: readonly (readonly ['zeros' | 'noise', Encoding])[]
  /** How late the main thread's timers may be at their 99th percentile; not looked at where `null`. */
  readonly maxLagMs: number | null
  readonly maxRssMiB: number
  readonly tally: Tally
}

/** How often prom-client looks at the event loop: what it measures is never less. */
const lagResolutionMs = 1

/** NARs that are far larger than the memory that Weir may take for them, with some clients reading along. */
export async function tryBig({ bytes, clients, kinds, ...options }: BigOptions): Promise<void> {
  const { tally, maxLagMs, maxRssMiB } = options
  for (const [content, encoding] of kinds) {
    const title = `${content} in ${encoding}`
    const nar = await makeHugeNar(content, bytes, encoding)
    const key = generateSecretKey('made-1')
    const { narHash, narSize, compression } = nar
    const described = { narHash, narSize, compression, url: `nar/${content}` }
    const offer = signedBy(changed(makeOffer({ name: content }), described), key)
    await using upstream = await serve(offer, nar)
    const keys = [formatPublicKey(key.publicKey)]
    await using weir = await startWeir({
      config: { upstreams: [{ name: 'huge', url: upstream.url, keys }] },
    })
    const url = await narUrlOf(weir.url, offer)
    const idle = await weir.rssBytes()
    await askLagMs(weir)
    const began = performance.now()
    const bodies = Array.from({ length: clients }, () => narHashAt(url))
    for (const got of await Promise.all(bodies)) {
      if (got !== formatHash(narHash)) tally.fail(`${title}: NarHash ${String(got)}`)
      tally.count('NARs')
    }
    const seconds = (performance.now() - began) / 1000
    const lagMs = await askLagMs(weir)
    const over = (await weir.peakRssBytes()) - idle
    tally.count(`MB/s of ${title}`, Math.round(Number(narSize) / seconds / 1e6))
    tally.count(`MiB of RSS over idle for ${title}`, over >> 20)
    tally.count(`ms of lag for ${title}`, Math.round(lagMs))
    if (over > maxRssMiB << 20) tally.fail(`${title}: RSS ${over >> 20} MiB over idle`)
    if (maxLagMs !== null && lagMs > maxLagMs) tally.fail(`${title}: ${lagMs} ms of lag`)
  }
}

/** The 99th percentile of the event loop's delay since it was last asked for. */
async function askLagMs(weir: WeirProcess): Promise<number> {
  const seconds = await askMetric(weir, 'nodejs_eventloop_lag_p99_seconds')
  return Math.max(0, seconds * 1000 - lagResolutionMs)
}

/** Reads a NAR to its end and hashes what its zstd decodes to; `null` where it broke off. */
async function narHashAt(url: string): Promise<string | null> {
  const digest = createHash('sha256')
  const hashing = new Writable({
    write(chunk: Buffer, _encoding, done) {
      digest.update(chunk)
      done()
    },
  })
  const { status, body } = await fetch(url)
  if (status !== 200 || body === null) return null
  try {
    await pipeline(Readable.fromWeb(body), createZstdDecompress(), hashing)
  } catch {
    return null
  }
  return formatHash({ algorithm: 'sha256', bytes: new Uint8Array(digest.digest()) })
}

/** An upstream that has one path, and makes its NAR's file as it goes. */
async function serve(
  { narinfo }: Offer,
  { file }: HugeNar,
): Promise<AsyncDisposable & { readonly url: string }> {
  const text = formatNarinfo(narinfo, storeDir)
  const server = createServer((request, response) => {
    if (request.url === `/${narinfo.storePath.hash}.narinfo`) response.end(text)
    else if (request.url === `/${narinfo.url}`) {
      response.writeHead(200, { 'content-length': file.size })
      const body = Readable.from(file.read(0, file.size, 262_144), { objectMode: false })
      // Who is gone is not sent the rest.
      pipeline(body, response).catch(() => undefined)
    } else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
