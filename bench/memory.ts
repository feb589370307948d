/**
 * What Weir holds in memory while large NARs pass through it for the first time: a NAR of zeros and one of noise in each
 * compression, and 24 of noise at once. Each with a Weir of its own. The goal is 100 MB over idle.
 * Run: npm run bench memory -- [--bytes N] [--json FILE]
 */
import { writeFile } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { parseArgs } from 'node:util'
import { startWeir, type WeirProcess } from '../test/lab/weir-process.ts'
import { formatTable } from './table.ts'
import { makeCache, type MadeCache, type MadeCacheOptions } from './memory/made-cache.ts'
import { startMadeUpstream } from './memory/made-upstream.ts'

const { values } = parseArgs({
  options: { bytes: { type: 'string', default: '4000000000' }, json: { type: 'string' } },
})
const bytes = Number(values.bytes)

const cases: readonly MadeCacheOptions[] = [
  { content: 'zeros', compression: 'none', count: 1, bytes },
  { content: 'zeros', compression: 'xz', count: 1, bytes },
  { content: 'zeros', compression: 'zstd', count: 1, bytes },
  { content: 'noise', compression: 'none', count: 1, bytes },
  { content: 'noise', compression: 'xz', count: 1, bytes },
  { content: 'noise', compression: 'zstd', count: 1, bytes },
  { content: 'noise', compression: 'none', count: 24, bytes: bytes / 20 },
]

type Measured = {
  readonly name: string
  readonly narMegabytesPerSecond: number
  readonly sentMegabytes: number
  readonly idleMegabytes: number
  readonly peakOverIdleMegabytes: number
  /** The event loop's delay of the main thread, which is asked for every 10 ms. */
  readonly idleLagP99Ms: number
  readonly lagP99Ms: number
}

async function measure(options: MadeCacheOptions): Promise<Measured> {
  const cache = await makeCache(options)
  await using upstream = await startMadeUpstream(cache)
  const upstreams = [{ name: 'made', url: upstream.url, keys: [cache.publicKey] }]
  const extra = { log: { level: 'info', format: 'json' } }
  await using weir = await startWeir({ config: { upstreams, extra } })
  // The first reading is of the start, and each begins the next.
  await lagP99Ms(weir)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const idleLagP99Ms = await lagP99Ms(weir)
  const idle = await weir.rssBytes()
  const began = performance.now()
  const sent = await fetchAll(weir, cache)
  const seconds = (performance.now() - began) / 1000
  const peak = await weir.peakRssBytes()
  return {
    name: `${options.count} × ${(options.bytes / 1e9).toFixed(1)} GB of ${options.content}, ${options.compression}`,
    narMegabytesPerSecond: cache.narBytes / 1e6 / seconds,
    sentMegabytes: sent / 1e6,
    idleMegabytes: idle / 1e6,
    peakOverIdleMegabytes: (peak - idle) / 1e6,
    idleLagP99Ms,
    lagP99Ms: await lagP99Ms(weir),
  }
}

/** Fetches all NARs at the same time, as clients do; returns how many bytes came. */
async function fetchAll(weir: WeirProcess, cache: MadeCache): Promise<number> {
  const sent = await Promise.all(
    cache.hashes.map(async (hash) => {
      const narinfo = await (await fetch(`${weir.url}/${hash}.narinfo`)).text()
      const url = /^URL: (.*)$/m.exec(narinfo)?.[1]
      if (url === undefined) throw new Error(`Weir answered no narinfo: ${narinfo}`)
      return drain(`${weir.url}/${url}`)
    }),
  )
  return sent.reduce((sum, one) => sum + one, 0)
}

/** Reads a body to its end without keeping it; returns its length. */
async function drain(url: string): Promise<number> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(url, { agent: false }, resolve).once('error', reject).end()
  })
  let length = 0
  response.on('data', (piece: Buffer) => (length += piece.length))
  await new Promise<void>((resolve) => {
    response.once('close', resolve)
  })
  if (response.statusCode !== 200 || !response.complete) {
    throw new Error(`${url}: ${response.statusCode ?? 0}, ${length} bytes and no end`)
  }
  return length
}

async function lagP99Ms(weir: WeirProcess): Promise<number> {
  const text = await (await fetch(`${weir.url}/metrics`)).text()
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1]) * 1000
}

const measured: Measured[] = []
for (const options of cases) {
  measured.push(await measure(options))
  console.error(`${measured.at(-1)?.name ?? ''}: measured`)
}
const heads = ['', 'NAR MB/s', 'sent MB', 'idle MB', 'peak over idle MB', 'lag p99 ms', '(idle)']
const rows = measured.map((one) => [
  one.name,
  one.narMegabytesPerSecond.toFixed(0),
  one.sentMegabytes.toFixed(0),
  one.idleMegabytes.toFixed(0),
  one.peakOverIdleMegabytes.toFixed(0),
  one.lagP99Ms.toFixed(1),
  one.idleLagP99Ms.toFixed(1),
])
console.log(formatTable([heads, ...rows]))
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(measured, null, 1))
