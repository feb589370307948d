import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import t from 'tap'
import type { Closure } from '../../bench/closure/closure.ts'
import { listPool } from '../../bench/closure/file-pool.ts'
import { planClosure } from '../../bench/closure/plan.ts'
import { createRandom } from '../../bench/closure/random.ts'
import { longTailedSizes } from '../../bench/closure/sizes.ts'
import { writeCache } from '../../bench/closure/write-cache.ts'
import { formatReport } from '../../bench/clients/report.ts'
import type { CaseName, Sample } from '../../bench/clients/round.ts'
import { substitute } from '../../bench/clients/substitute.ts'
import { median } from '../../bench/median.ts'
import { hashOf, madeNar, piecesOf, sizeOf } from '../../bench/memory/made-nar.ts'
import { startRelay } from '../../bench/relay.ts'
import { formatPublicKey, generateSecretKey, publicKeyOf } from '../../src/nix/signature.ts'
import { workFolder } from '../fakes/work-folder.ts'
import { startUpstream } from '../lab/upstream-server.ts'

const source = resolve(import.meta.dirname, '../../src')
const options = { seed: 7, count: 8, totalBytes: 400_000, largestBytes: 100_000 }

t.test('sizes have a long tail, a bound, and the total that was asked for', async (t) => {
  const bounds = { count: 200, totalBytes: 500_000_000, largestBytes: 70_000_000 }
  const sizes = longTailedSizes(createRandom(1), bounds)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  t.ok(Math.abs(total / bounds.totalBytes - 1) < 0.01)
  t.ok(sizes.every((size) => size <= bounds.largestBytes))
  t.ok(median(sizes) < total / sizes.length / 4)
})

t.test('a seed decides a closure, and its root reaches every path', async (t) => {
  const pool = await listPool([source])
  const paths = planClosure(pool, options)
  t.same(planClosure(pool, options), paths)
  t.notSame(planClosure(pool, { ...options, seed: 8 }), paths)
  const reached = new Set(paths.slice(0, 1).map((path) => path.storePath.baseName))
  for (const path of paths) {
    if (!reached.has(path.storePath.baseName)) continue
    for (const { baseName } of path.references) reached.add(baseName)
  }
  t.equal(reached.size, options.count)
})

t.test(
  'a real client takes a closure that was made, and an incomplete one is noticed',
  async (t) => {
    const cacheDir = workFolder(t)
    const key = generateSecretKey('bench.test-1')
    const paths = planClosure(await listPool([source]), options)
    const { narBytes } = await writeCache(cacheDir, paths, key)
    t.ok(narBytes > options.totalBytes / 2)
    const closure: Closure = {
      ...{ cacheDir, publicKey: formatPublicKey(publicKeyOf(key)), description: '' },
      roots: paths.slice(0, 1).map((path) => `/nix/store/${path.storePath.baseName}`),
      pathCount: options.count,
    }
    await using upstream = await startUpstream({ root: cacheDir })
    const client = { url: upstream.url, maxJobs: null, timeoutMs: 60_000 }
    const { wallSeconds, clientCpuSeconds } = await substitute({ ...client, closure })
    t.ok(wallSeconds > 0 && clientCpuSeconds > 0)
    const larger = { ...closure, pathCount: options.count + 1 }
    await t.rejects(substitute({ ...client, closure: larger }), /8 paths arrived, and not 9/)
  },
)

t.test('a relay is as slow as it says, and changes nothing', async (t) => {
  const sent = Buffer.alloc(250_000, 'some bytes, ')
  const server = createServer((socket) => {
    socket.once('data', () => socket.end(sent))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port: targetPort } = server.address() as AddressInfo
  await using relay = await startRelay({ targetPort, bitsPerSecond: 20e6, oneWayMs: 10 })
  const began = performance.now()
  const socket = connect({ host: '127.0.0.1', port: relay.port })
  socket.write('x')
  const pieces: Buffer[] = []
  for await (const piece of socket) pieces.push(piece as Buffer)
  const tookMs = performance.now() - began
  t.ok(Buffer.concat(pieces).equals(sent))
  // 100 ms for the bytes, one round trip for the handshake and one for the question; each of many timers may be a little early.
  t.ok(tookMs >= 130, `${tookMs} ms`)
})

t.test('a NAR that is made has the size and the hash of what is sent', async (t) => {
  const nar = madeNar('zeros', 50_000_000, 'a')
  let length = 0
  for (const piece of piecesOf(nar)) length += piece.length
  t.equal(sizeOf(nar), length)
  t.equal(nar.blocks, 2)
  t.notSame(hashOf(nar), hashOf(madeNar('zeros', 50_000_000, 'b')))
})

t.test('a report gives medians, and says which goals were reached', async (t) => {
  const sample = (name: CaseName, wallSeconds: number): Sample => ({
    ...{ name, wallSeconds, clientCpuSeconds: 1, proxyCpuSeconds: 2, upstreamBytes: 3e6 },
  })
  const samples = [1, 9, 2].map((wall) => sample('straight', wall))
  const goal = { of: 'cold weir', over: 'straight' } as const
  const report = formatReport(
    [...samples, sample('cold weir', 3)],
    [
      { ...goal, atMost: 1.5 },
      { ...goal, atMost: 1.25 },
    ],
  )
  t.match(report, /^straight {2}.*2\.00 {2}1\.00 9\.00 2\.00 .* 3\.0$/m)
  t.match(report, 'cold weir / straight: 1.50 (goal 1.50: reached)')
  t.match(report, 'cold weir / straight: 1.50 (goal 1.25: missed)')
})
