/** What is no source’s fault. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { once } from 'node:events'
import t from 'tap'
import { ingest } from '../../src/ingest/ingestion.ts'
import type { IngestEvents } from '../../src/ports/nar-ingest.ts'
import { encodeNar, smallNar } from '../fakes/encode-nar.ts'
import {
  askedOnce,
  type Give,
  jobFor,
  noPieces,
  plainSources,
  runIngest,
  sha256,
  type TestSource,
} from '../fakes/ingest-run.ts'
import { bigNar, gives } from '../fakes/ingest-sources.ts'
import { must } from '../nix/fixtures.ts'

const dir = t.testdir()
const file = join(dir, 'nar.zst')

t.test('an abort rejects at once, and closes the source', async (t) => {
  for (const encoding of ['none', 'xz', 'zstd', 'gzip'] as const) {
    const encoded = await encodeNar(encoding, bigNar)
    const abort = new AbortController()
    const reason = new Error('enough')
    const waiting = Promise.withResolvers<undefined>()
    const closed = Promise.withResolvers<true>()
    const give = async function* (signal: AbortSignal): AsyncGenerator<Uint8Array> {
      try {
        yield encoded.subarray(0, 100_000)
        waiting.resolve(undefined)
        await once(signal, 'abort')
        throw signal.reason
      } finally {
        closed.resolve(true)
      }
    }
    const isSecondAsked = { value: false }
    const second: TestSource = {
      give: () => {
        isSecondAsked.value = true
        return null
      },
    }
    const run = runIngest(jobFor(bigNar, file), [{ compression: encoding, give }, second], {
      signal: abort.signal,
    })
    await waiting.promise
    abort.abort(reason)
    t.equal(await run.catch((error: unknown) => error), reason, encoding)
    t.ok(await closed.promise)
    t.notOk(isSecondAsked.value, 'and asks no other source')
  }
  const aborted = runIngest(jobFor(bigNar, file), [gives('none', bigNar)], {
    signal: AbortSignal.abort(new Error('before')),
  })
  await t.rejects(aborted, { message: 'before' }, 'before it began')
})

t.test('a full disk is Weir’s own failure, not the source’s', async (t) => {
  const full = '/dev/full'
  if (!existsSync(full)) {
    t.pass('the system has no /dev/full')
    return
  }
  const zstd = await encodeNar('zstd', bigNar)
  for (const nar of [smallNar, bigNar]) {
    for (const verifyFirst of [true, false]) {
      for (const source of [
        gives('none', nar),
        { ...gives('zstd', await encodeNar('zstd', nar)), fileHash: sha256(zstd) },
      ]) {
        const failures: unknown[] = []
        const [plain] = plainSources([source])
        const job = jobFor(nar, full, { verifyFirst, sources: [must(plain), must(plain)] })
        const events: IngestEvents = {
          released: () => undefined,
          fetched: () => undefined,
          sourceFailed: (failure) => failures.push(failure),
          ...noPieces,
        }
        const signal = new AbortController().signal
        const outcome = await ingest(
          job,
          { ...askedOnce, open: async (_, given) => source.give(given) },
          events,
          signal,
        )
        t.match(outcome, { kind: 'unwritten', code: 'ENOSPC' })
        t.same(failures, [])
      }
    }
  }
})

t.test('a file that is not there is Weir’s own failure', async (t) => {
  const events = { released: () => {}, fetched: () => {}, sourceFailed: () => {}, ...noPieces }
  const job = jobFor(smallNar, join(dir, 'nowhere', 'nar.zst'))
  const outcome = await ingest(
    job,
    { ...askedOnce, open: async () => null },
    events,
    new AbortController().signal,
  )
  t.match(outcome, { kind: 'unwritten', code: 'ENOENT' })
})

t.test('an error that is no upstream’s is thrown on', async (t) => {
  const bug = new TypeError('a bug')
  const give: Give = () => {
    throw bug
  }
  const run = runIngest(jobFor(smallNar, file), [{ give }, gives('none', smallNar)])
  t.equal(await run.catch((error: unknown) => error), bug)
})
