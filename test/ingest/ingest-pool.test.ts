/** Worker threads. */
import { ok } from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { createIngestPool } from '../../src/ingest/ingest-pool.ts'
import { pauseAfter } from '../../src/ingest/worker-threads.ts'
import type { Compression } from '../../src/nix/compression.ts'
import { parseContentAddress } from '../../src/nix/content-address.ts'
import type { IngestEvents, NarIngest, NarSource } from '../../src/ports/nar-ingest.ts'
import type { UpstreamOptions } from '../../src/upstream/upstream-options.ts'
import { plainUpstream } from '../fakes/upstream-options.ts'
import {
  encodeNar,
  encodings,
  type Encoding,
  mixedNar,
  patternNar,
  smallNar,
} from '../fakes/encode-nar.ts'
import {
  failureCodes,
  type FileJob,
  type IngestRun,
  jobFor,
  noPieces,
  runIngest,
} from '../fakes/ingest-run.ts'
import { bigNar, collect, gives, isSame, promiseOf, seed } from '../fakes/ingest-sources.ts'
import { must, path as storePathNamed, selfNar, selfNarinfo } from '../nix/fixtures.ts'

const dir = t.testdir()
const file = join(dir, 'nar.zst')

t.test('worker threads', async (t) => {
  type Handler = (request: IncomingMessage, response: ServerResponse) => void
  const handlers = new Map<string, Handler>()
  const server: Server = createServer((request, response) => {
    const handler = handlers.get(request.url ?? '')
    if (handler === undefined) response.writeHead(404).end()
    else handler(request, response)
  })
  // Its time begins before a slow reader has got everything.
  server.keepAliveTimeout = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const upstreamNamed = (name: string): UpstreamOptions =>
    plainUpstream({ name, url: `http://127.0.0.1:${port}/${name}` })
  const setup = { upstreams: [upstreamNamed('a'), upstreamNamed('b')] }
  const serve = (path: string, bytes: Uint8Array): void => {
    handlers.set(path, (_, response) => response.end(bytes))
  }
  const from = (upstream: string, url: string, compression: Compression): NarSource => ({
    upstream,
    url,
    file: null,
    compression,
    fileHash: null,
  })
  const pool = createIngestPool(2, setup)
  t.teardown(() => pool.close())
  let files = 0
  const start = async (
    ingesting: NarIngest,
    nar: Uint8Array,
    sources: readonly NarSource[],
    changes: Partial<FileJob> & { readonly signal?: AbortSignal } = {},
  ): Promise<IngestRun> => {
    const { signal = new AbortController().signal, ...rest } = changes
    const path = join(dir, `pool-${(files += 1)}`)
    writeFileSync(path, '')
    const events: IngestRun['events'][number][] = []
    const released: Buffer[] = []
    const job = jobFor(nar, path, { sources, ...rest })
    const told: IngestEvents = {
      released: (bytes, etag) => {
        events.push({ kind: 'released', bytes, etag })
        released.push(readFileSync(path).subarray(0, bytes))
      },
      sourceFailed: (failure) => events.push({ kind: 'failed', failure }),
      fetched: (upstream, bytes) => events.push({ kind: 'fetched', upstream, bytes }),
      ...noPieces,
    }
    const outcome = await ingesting.ingest(job, told, signal)
    return { outcome, file: readFileSync(job.path), events, released }
  }

  for (const encoding of encodings) {
    serve(
      `/a/nar/big.${encoding}`,
      await encodeNar(encoding, encoding === 'bzip2' ? patternNar : bigNar),
    )
  }
  const expected = await runIngest(jobFor(bigNar, file), [gives('none', bigNar)])

  t.test('a job without a file gives its pieces, and waits until they are taken', async (t) => {
    const pieces: Uint8Array[] = []
    let untaken = 0
    let mostUntaken = 0
    const events: IngestEvents = {
      ...noPieces,
      released: () => undefined,
      fetched: () => undefined,
      sourceFailed: () => undefined,
      piece: async (bytes) => {
        pieces.push(bytes)
        untaken += bytes.length
        mostUntaken = Math.max(mostUntaken, untaken)
        await setTimeout(1)
        untaken -= bytes.length
      },
      restarted: () => undefined,
    }
    const sources = [from('a', 'nar/big.xz', 'xz')]
    const job = { ...jobFor(bigNar, '', { sources, verifyFirst: false }), path: null }
    const running = pool.ingest(job, events, new AbortController().signal)
    t.same(await running, { ...expected.outcome, upstream: 'a' })
    t.ok(isSame(Buffer.concat(pieces), expected.file))
    t.ok(mostUntaken < expected.file.length)
  })

  t.test('a job gives what the chain gives, its events in order', async (t) => {
    const run = await start(pool, bigNar, [from('a', 'nar/big.xz', 'xz')], { verifyFirst: false })
    t.same(run.outcome, { ...expected.outcome, upstream: 'a' })
    t.ok(isSame(run.file, expected.file))
    t.ok(run.released.length > 3)
    let before = 0
    for (const part of run.released) {
      ok(part.length > before)
      before = part.length
      ok(isSame(part, run.file.subarray(0, part.length)))
    }
    t.match(run.events.at(-1), { kind: 'fetched', upstream: 'a' }, 'all of them before the outcome')
  })

  t.test('sources that fail are told of, and the next is asked', async (t) => {
    handlers.set('/b/nar/cut', (_, response) => {
      response.writeHead(200, { 'content-length': bigNar.length })
      response.write(bigNar.subarray(0, 2_000_000), () => {
        response.destroy()
      })
    })
    handlers.set('/b/nar/down', (_, response) => response.writeHead(500).end())
    const run = await start(
      pool,
      bigNar,
      [
        from('b', 'nar/none', 'xz'),
        from('b', 'nar/down', 'xz'),
        from('b', 'nar/cut', 'none'),
        from('b', '../../etc/passwd', 'none'),
        from('a', 'nar/big.br', 'br'),
      ],
      { verifyFirst: false },
    )
    t.same(failureCodes(run), ['absent', 'status', 'reset', 'url-refused'])
    t.ok(isSame(run.file, expected.file), 'gone on from where one was cut')
  })

  t.test('many jobs run at once', async (t) => {
    const jobs = Array.from({ length: 60 }, (_, index) => {
      const encoding = must(encodings[index % encodings.length])
      const nar = encoding === 'bzip2' ? patternNar : bigNar
      return start(pool, nar, [from('a', `nar/big.${encoding}`, encoding)]).then(
        ({ outcome, file }) => outcome.kind === 'verified' && isSame(zstdDecompressSync(file), nar),
      )
    })
    t.ok((await Promise.all(jobs)).every((isRight) => isRight))
  })

  t.test('an abort ends its own job alone, and closes the connection', async (t) => {
    const one = createIngestPool(1, setup)
    const stalled = Promise.withResolvers<ServerResponse>()
    const other = Promise.withResolvers<ServerResponse>()
    handlers.set('/a/nar/stalled', (_, response) => {
      response.write(bigNar.subarray(0, 1_000_000), () => {
        stalled.resolve(response)
      })
    })
    handlers.set('/a/nar/other', (_, response) => {
      response.write(bigNar.subarray(0, 1_000_000), () => {
        other.resolve(response)
      })
    })
    const abort = new AbortController()
    const aborted = start(one, bigNar, [from('a', 'nar/stalled', 'none')], {
      signal: abort.signal,
    }).catch((error: unknown) => error)
    const running = start(one, bigNar, [from('a', 'nar/other', 'none')])
    const connection = await stalled.promise
    const closed = once(connection, 'close')
    const rest = await other.promise
    abort.abort()
    t.match(await aborted, { name: 'AbortError' })
    await closed
    rest.end(bigNar.subarray(1_000_000))
    t.equal((await running).outcome.kind, 'verified')
    const before = start(one, bigNar, [], { signal: AbortSignal.abort() })
    await t.rejects(before, { name: 'AbortError' }, 'before it began')
    await one.close()
  })

  t.test('Weir’s own failure rejects the job, and the thread goes on', async (t) => {
    const one = createIngestPool(1, setup)
    const sources = [from('a', 'nar/big.zstd', 'zstd')]
    await t.rejects(start(one, bigNar, sources, { path: join(dir, 'nowhere', 'file') }), /ENOENT/)
    await t.rejects(start(one, bigNar, sources, { narHash: 'no hash' }))
    t.equal((await start(one, bigNar, sources)).outcome.kind, 'verified')
    await one.close()
  })

  t.test('jobs of a thread that dies, or that is closed, are rejected', async (t) => {
    const dying = createIngestPool(1, { upstreams: [{ ...upstreamNamed('a'), url: 'no url' }] })
    await t.rejects(start(dying, smallNar, []), /worker thread died/)
    await dying.close()
    const closing = createIngestPool(1, setup)
    const begun = once(server, 'request')
    handlers.set('/a/nar/never', (_, response) => response.write('x'))
    const job = start(closing, smallNar, [from('a', 'nar/never', 'none')])
    const rejected = t.rejects(job, /worker thread died/)
    await begun
    await closing.close()
    await rejected
    await t.rejects(start(closing, smallNar, []), 'and none is taken afterwards')
  })

  const openStored = async (encoding: Encoding, bytes: Uint8Array) => {
    const path = join(dir, `stored-${(files += 1)}`)
    writeFileSync(path, bytes)
    const file = await open(path, 'r')
    // Descriptors are of the open file, whatever becomes of its name.
    rmSync(path)
    t.teardown(() => file.close().catch(() => undefined))
    return { file: { fd: file.fd }, compression: encoding, close: () => file.close() }
  }
  const signal = new AbortController().signal

  t.test('a stored NAR is listed, verified and read, in every encoding', async (t) => {
    for (const encoding of encodings) {
      const stored = await openStored(encoding, await encodeNar(encoding, patternNar))
      const promised = promiseOf(patternNar)
      const outcome = await pool.reader.list(stored, promised, signal)
      const listing = outcome.kind === 'listed' ? Buffer.from(outcome.listing).toString() : ''
      t.match(listing, /"bin":\{"type":"regular","size":150000,"executable":true,"narOffset":\d+\}/)
      const offset = Number(/"narOffset":(\d+)/.exec(listing)?.[1])
      t.ok(await pool.reader.verify(stored, promised, signal), encoding)
      const wrong = { ...promised, narSize: promised.narSize + 8n }
      t.notOk(await pool.reader.verify(stored, wrong, signal), encoding)
      for (const [first, size] of [
        [offset, 150_000],
        [offset + 1, 1],
        [0, patternNar.length],
        [patternNar.length, 0],
      ] as const) {
        const part = await collect(pool.reader.read(stored, { offset: first, size }, signal))
        t.ok(isSame(part, patternNar.subarray(first, first + size)), `${encoding}, ${first}`)
      }
      const beyond = { offset: patternNar.length - 5, size: 6 }
      await t.rejects(collect(pool.reader.read(stored, beyond, signal)), /ends before/)
    }
  })

  t.test('a content address counts when a stored NAR is verified', async (t) => {
    const stored = await openStored('none', selfNar)
    const storePath = storePathNamed(/StorePath: .*\/(.*)/.exec(selfNarinfo)?.[1] ?? '')
    const ca = parseContentAddress(/CA: (.*)/.exec(selfNarinfo)?.[1] ?? '')
    const promised = promiseOf(selfNar, { storePath, ca })
    t.equal(await pool.reader.verify(stored, promised, signal), true)
    const other = storePathNamed('00000000000000000000000000000000-x')
    t.equal(await pool.reader.verify(stored, { ...promised, storePath: other }, signal), false)
  })

  t.test('a file that cannot be read is Weir’s own failure', async (t) => {
    const folder = await open(dir, 'r')
    const stored = { file: { fd: folder.fd }, compression: 'zstd' } as const
    await t.rejects(pool.reader.list(stored, promiseOf(smallNar), signal), /EISDIR/)
    await t.rejects(pool.reader.verify(stored, promiseOf(smallNar), signal), /EISDIR/)
    await t.rejects(collect(pool.reader.read(stored, { offset: 0, size: 1 }, signal)), /EISDIR/)
    await folder.close()
  })

  t.test('a read that is left or aborted lets go of its file, and of it alone', async (t) => {
    const nar = mixedNar(5_000_000, seed)
    const stored = await openStored('none', nar)
    const whole = { offset: 0, size: nar.length }
    const other = pool.reader.read(stored, whole, signal)
    for await (const piece of pool.reader.read(stored, whole, signal)) {
      ok(piece.length > 0 && piece.length < nar.length)
      break
    }
    const abort = new AbortController()
    const aborted = async (): Promise<void> => {
      for await (const piece of pool.reader.read(stored, whole, abort.signal)) {
        ok(piece.length > 0)
        abort.abort()
      }
    }
    await t.rejects(aborted(), { name: 'AbortError' })
    const aborting = new AbortController()
    const listing = pool.reader.list(stored, promiseOf(nar), aborting.signal)
    aborting.abort()
    await t.rejects(listing, { name: 'AbortError' })
    await t.rejects(pool.reader.verify(stored, promiseOf(nar), AbortSignal.abort()), {
      name: 'AbortError',
    })
    t.ok(isSame(await collect(other), nar))
  })

  t.test('a thread that dies fails what it reads, and is replaced at once', async (t) => {
    const deaths: unknown[] = []
    const one = createIngestPool(1, setup, { died: (error) => deaths.push(error) })
    const stored = await openStored('none', bigNar)
    const whole = { offset: 0, size: bigNar.length }
    const reading = (async () => {
      for await (const piece of one.reader.read(stored, whole, signal)) {
        ok(piece.length > 0)
        // An upstream that is none ends the thread.
        one.configure({ upstreams: [{ ...upstreamNamed('a'), url: 'no url' }] })
        one.configure(setup)
      }
    })()
    await t.rejects(reading, /worker thread died/)
    t.equal(deaths.length, 1)
    t.ok(isSame(await collect(one.reader.read(stored, whole, signal)), bigNar))
    await one.close()
  })

  t.test('threads that die at their start are replaced after ever longer pauses', async (t) => {
    t.same([0, 1, 2, 3, 9, 10, 2000].map(pauseAfter), [0, 100, 200, 400, 25_600, 30_000, 30_000])
    const pauses: { readonly act: () => void; readonly ms: number }[] = []
    let paused = Promise.withResolvers<undefined>()
    const dying = createIngestPool(1, setup, {
      file: new URL('data:text/javascript,throw new Error("broken")'),
      later: (act, ms) => {
        pauses.push({ act, ms })
        paused.resolve(undefined)
        return () => pauses.splice(0)
      },
    })
    const stored = await openStored('none', smallNar)
    const list = () => dying.reader.list(stored, promiseOf(smallNar), signal)
    for (const expected of [100, 200, 400]) {
      await t.rejects(list(), /worker thread died/, 'what was given to it')
      await paused.promise
      t.equal(pauses[0]?.ms, expected)
      await t.rejects(list(), /no ingest worker thread runs/, 'nobody waits through a pause')
      paused = Promise.withResolvers()
      pauses.shift()?.act()
    }
    await t.rejects(list(), /worker thread died/)
    await dying.close()
    t.same(pauses, [], 'nothing is started after the end')
  })
})
