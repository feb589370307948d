import { equal } from 'node:assert/strict'
import { once } from 'node:events'
import t from 'tap'
import { narFileName } from '../../src/nix/nar-key.ts'
import type { IngestOutcome, SourceFailure } from '../../src/ports/nar-ingest.ts'
import type { NarFile } from '../../src/ports/nar-store.ts'
import { transferBody } from '../../src/substituter/fetching/nar-body.ts'
import { Transfer, TransferBrokenError } from '../../src/substituter/fetching/transfer.ts'
import { patternNar, randomBytes } from '../fakes/encode-nar.ts'
import { createFakeNarIngest, fakeEtag, type FakeRun } from '../fakes/fake-nar-ingest.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { must } from '../nix/fixtures.ts'
import { claimFor, numbered, upstreamWith } from '../fakes/test-claims.ts'
import { world } from '../fakes/substituter-world.ts'
import {
  never,
  testClient,
  getNar,
  resumeNar,
  readBody,
  fetchNar,
  cacheFiles,
  gate,
  isSettled,
} from '../fakes/substituter-client.ts'

const hello = claimFor(patternNar)
const { key } = hello
const hash = key.storePathHash

t.test('readers of a NAR on its way', async (t) => {
  const content = randomBytes(50_000, 1)
  /** An ingestion that writes and releases 10,000 bytes at each opening of its gates, then ends. */
  const stepwise = (end: (run: FakeRun) => Promise<IngestOutcome> = (run) => run.verified()) => {
    const gates = Array.from({ length: 6 }, gate)
    const ingest = createFakeNarIngest(async (run) => {
      for (const [step, { promise }] of gates.entries()) {
        await promise
        if (step === 5) break
        const part = content.subarray(step * 10_000, (step + 1) * 10_000)
        run.events.released(await run.append(part), fakeEtag)
      }
      return end(run)
    })
    return { ingest, step: (index: number) => gates[index]?.resolve(undefined) }
  }
  const allSteps = [0, 1, 2, 3, 4, 5]
  const wrongNar: SourceFailure = {
    upstream: 'a',
    kind: 'corrupt',
    code: 'nar-hash-mismatch',
    message: 'wrong',
  }

  t.test('get the same bytes, each at its own speed', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const fast = getNar(made, key)
    const slow = getNar(made, key)
    const leaving = getNar(made, key)
    t.notOk(await isSettled(fast), 'there is no answer before there is something to say')
    step(0)
    const bodies = (await Promise.all([fast, slow, leaving])).map((answer) => {
      if (answer.kind !== 'found') throw new Error(answer.kind)
      equal(answer.isStored, false)
      return answer.body
    })
    const [one, two, three] = [must(bodies[0]), must(bodies[1]), must(bodies[2])]
    t.same([one.size, one.etag], [null, fakeEtag], 'nobody knows its size yet')
    const size = one.wholeSize(never)
    const fastBytes = readBody(one)
    const first = Buffer.alloc(100)
    t.equal(await two.read(first, 0, never), 100)
    t.equal(await three.read(first, 500, never), 100)
    await three[Symbol.asyncDispose]()
    await three[Symbol.asyncDispose]()
    t.notOk(await isSettled(two.read(Buffer.alloc(1), 10_000, never)), 'waits for what is to come')
    for (const index of allSteps) step(index)
    t.same(await fastBytes, content)
    t.equal(await size, content.length)
    await one[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await readBody(two, 777), content, 'also when the transfer is over')
    t.equal(two.size, content.length)
    t.equal(made.store.openFiles, 1, 'the file is open for the last reader')
    await two[Symbol.asyncDispose]()
    t.equal(made.store.openFiles, 0)
    t.same(await fetchNar(made, key), content, 'and served from the store')
  })

  t.test('that give up waiting disturb nobody', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const abort = new AbortController()
    const reason = new Error('the client went away')
    const early = made.substituter.nar(key, { isResume: false, client: testClient }, abort.signal)
    const staying = getNar(made, key)
    await isSettled(early)
    abort.abort(reason)
    t.equal(await early.catch((error: unknown) => error), reason)
    step(0)
    const answer = await staying
    if (answer.kind !== 'found') throw new Error(answer.kind)
    const later = new AbortController()
    const waiting = answer.body.read(Buffer.alloc(10), 20_000, later.signal)
    later.abort(reason)
    t.equal(await waiting.catch((error: unknown) => error), reason)
    for (const index of allSteps) step(index)
    t.same(await readBody(answer.body), content)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.equal(made.store.openFiles, 0)
  })

  t.test('all may leave: the NAR is stored all the same', async (t) => {
    const { ingest, step } = stepwise()
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    step(0)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    await answer.body[Symbol.asyncDispose]()
    for (const index of allSteps) step(index)
    await made.transfers.idle()
    t.same(await cacheFiles(made), [narFileName(key), `${hash}.narinfo`])
    t.same(await fetchNar(made, key), content)
    t.equal(ingest.jobs.length, 1)
  })

  t.test('of one that breaks off are told so, and their resumes are refused', async (t) => {
    const { ingest, step } = stepwise(async (run) => {
      run.events.sourceFailed(wrongNar)
      return { kind: 'failed' }
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    for (const index of [0, 1]) step(index)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    t.equal(await answer.body.read(Buffer.alloc(10), 0, never), 10)
    const size = answer.body.wholeSize(never).catch((error: unknown) => error)
    for (const index of allSteps) step(index)
    await t.rejects(readBody(answer.body, 100, 10), TransferBrokenError)
    t.type(await size, TransferBrokenError)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await resumeNar(made, key), { kind: 'broken' })
    const fresh = await getNar(made, key)
    t.equal(fresh.kind, 'found', 'a fresh GET is tried')
    if (fresh.kind === 'found') await fresh.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.same(await cacheFiles(made), [])
    t.equal(made.store.openFiles, 0)
  })

  t.test('the resume of a body that was wrong is refused while a better one comes', async (t) => {
    const clock = createFixedClock()
    const again = gate()
    let tries = 0
    const ingest = createFakeNarIngest(async (run) => {
      tries += 1
      run.events.released(await run.append(content), fakeEtag)
      if (tries === 1) {
        run.events.sourceFailed(wrongNar)
        return { kind: 'failed' }
      }
      await again.promise
      return run.verified()
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest, clock })
    const broken = await getNar(made, key)
    if (broken.kind === 'found') await broken.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    clock.advance(60_000)
    const fresh = await getNar(made, key)
    if (fresh.kind !== 'found') throw new Error(fresh.kind)
    const resume = await resumeNar(made, key)
    if (resume.kind === 'found') await resume.body[Symbol.asyncDispose]()
    t.equal(resume.kind, 'broken')
    again.resolve(undefined)
    t.same(await readBody(fresh.body), content, 'the fresh one is not disturbed')
    await fresh.body[Symbol.asyncDispose]()
  })

  t.test('of one that was only cut may go on', async (t) => {
    let tries = 0
    const ingest = createFakeNarIngest(async (run) => {
      tries += 1
      if (tries > 1) {
        await run.append(content)
        return run.verified()
      }
      run.events.released(await run.append(content.subarray(0, 10_000)), fakeEtag)
      run.events.sourceFailed({ ...wrongNar, kind: 'unreachable', code: 'reset' })
      return { kind: 'failed' }
    })
    const made = await world(t, { upstreams: [upstreamWith('a', hello)], ingest })
    const cut = await getNar(made, key)
    if (cut.kind === 'found') await cut.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    const resume = await resumeNar(made, key)
    if (resume.kind !== 'found') throw new Error(resume.kind)
    t.same(await readBody(resume.body, 777, 10_000), content.subarray(10_000))
    await resume.body[Symbol.asyncDispose]()
  })

  t.test('of a transfer that Weir itself fails are told so; it is counted', async (t) => {
    let storeFailures = 0
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    const { ingest, step } = stepwise(async () => {
      throw full
    })
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      ingest,
      meter: { storeFailed: () => (storeFailures += 1) },
    })
    step(0)
    const answer = await getNar(made, key)
    if (answer.kind !== 'found') throw new Error(answer.kind)
    for (const index of allSteps) step(index)
    await t.rejects(readBody(answer.body), TransferBrokenError)
    await answer.body[Symbol.asyncDispose]()
    await made.transfers.idle()
    t.equal(storeFailures, 1)
    t.match(made.log.named('transfer.failed'), [{ err: full }])
    t.same(await cacheFiles(made), [])
  })

  t.test('are told when Weir stops, which is nobody’s failure', async (t) => {
    let storeFailures = 0
    const begun = gate()
    const ingest = createFakeNarIngest(async ({ signal }) => {
      begun.resolve(undefined)
      await once(signal, 'abort')
      throw signal.reason
    })
    const made = await world(t, {
      upstreams: [upstreamWith('a', hello)],
      ingest,
      meter: { storeFailed: () => (storeFailures += 1) },
    })
    const answer = getNar(made, key)
    await begun.promise
    made.stopping.abort()
    t.match(await answer, { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(storeFailures, 0)
  })

  t.test('no more NARs are fetched at one time than is allowed', async (t) => {
    const claims = [1, 2, 3, 4, 5].map((number) => numbered(number))
    const [open, full] = [gate(), gate()]
    let most = 0
    let now = 0
    const ingest = createFakeNarIngest(async (run) => {
      most = Math.max(most, (now += 1))
      if (now === 2) full.resolve(undefined)
      await open.promise
      await run.append(content)
      now -= 1
      return run.verified()
    })
    const upstreams = [upstreamWith('a', ...claims)]
    const made = await world(t, { upstreams, ingest, maxTransfers: 2 })
    const all = Promise.all(claims.map((claim) => fetchNar(made, claim.key)))
    await full.promise
    t.notOk(await isSettled(all))
    open.resolve(undefined)
    await all
    t.equal(most, 2)
    t.equal(ingest.jobs.length, 5)
  })
})

t.test('a transfer', async (t) => {
  const inMemory = (bytes: Uint8Array): NarFile & { isClosed: boolean } => ({
    isClosed: false,
    fd: -1,
    size: async () => bytes.length,
    read: async (buffer, position) => {
      const part = bytes.subarray(position, position + buffer.length)
      buffer.set(part)
      return part.length
    },
    async close() {
      this.isClosed = true
    },
  })
  const content = randomBytes(1000, 1)
  const outcome = {
    kind: 'verified',
    upstream: 'a',
    fileBytes: 1000,
    fileHash: 'sha256:0',
    etag: '"other"',
  } as const

  t.test('gives out what is released and nothing more', async (t) => {
    const transfer = new Transfer()
    transfer.attach(inMemory(content))
    transfer.release(100, fakeEtag)
    transfer.release(50, '"less"')
    t.same([transfer.released, transfer.etag, transfer.size], [100, fakeEtag, null])
    t.equal(await transfer.read(Buffer.alloc(500), 90, never), 10)
    transfer.complete(outcome)
    t.same([transfer.size, transfer.etag], [1000, fakeEtag], 'its ETag stays what went out')
    t.equal(await transfer.read(Buffer.alloc(500), 900, never), 100)
    t.equal(await transfer.read(Buffer.alloc(500), 1000, never), 0)
    t.equal(await transfer.read(Buffer.alloc(500), 5000, never), 0, 'beyond its end')
    transfer.fail({ kind: 'unknown', failures: [] })
    t.equal(transfer.failure, null, 'what is complete stays so')
  })

  t.test('keeps its file open for as long as anybody holds it', async (t) => {
    const file = inMemory(content)
    const transfer = new Transfer()
    transfer.attach(file)
    const body = transferBody(transfer)
    const other = transfer.hold()
    await transfer.leave()
    await body[Symbol.asyncDispose]()
    await body[Symbol.asyncDispose]()
    t.notOk(file.isClosed)
    await other()
    t.ok(file.isClosed)
  })

  t.test('rejects a reader whose client has gone, waiting or not', async (t) => {
    const transfer = new Transfer()
    transfer.attach(inMemory(content))
    const gone = AbortSignal.abort(new Error('gone'))
    await t.rejects(transfer.moreThan(0, gone), { message: 'gone' })
    transfer.release(10, fakeEtag)
    t.equal(await transfer.read(Buffer.alloc(10), 0, gone), 10, 'what is there is given')
  })
})
