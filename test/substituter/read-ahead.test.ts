import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { parseStorePathHash, type StorePathHash } from '../../src/nix/store-path.ts'
import { createReadAhead, type ReadAheadDeps } from '../../src/substituter/read-ahead.ts'
import { randomBytes } from '../fakes/encode-nar.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { fetchNar, fetchNarinfo, gate } from '../fakes/substituter-client.ts'
import { type Tap, type World, world, type WorldOptions } from '../fakes/substituter-world.ts'
import {
  claimFor,
  narsAsked,
  numbered,
  type TestClaim,
  upstreamWith,
} from '../fakes/test-claims.ts'
import { must } from '../nix/fixtures.ts'

const client = '192.0.2.1'

/** Four paths, each of which refers to those before it. */
const leaf = numbered(1)
const second = numbered(2, { references: [leaf.narinfo.storePath] })
const third = numbered(3, { references: [leaf, second].map(({ narinfo }) => narinfo.storePath) })
const top = numbered(4, {
  references: [leaf, second, third].map(({ narinfo }) => narinfo.storePath),
})
const closure = [top, third, second, leaf]

type Reading = {
  readonly made: World
  /** The client gets the narinfos of these, in this order. */
  readonly queries: (...claims: readonly TestClaim[]) => Promise<void>
  /** The client asks for a NAR, and takes it. */
  readonly takes: (claim: TestClaim) => Promise<void>
  /** The numbers of the NARs that were fetched from the upstream so far, in order. */
  readonly fetched: () => Promise<readonly string[]>
  readonly ahead: () => number
}

async function reading(
  t: Tap,
  changes: Partial<ReadAheadDeps> = {},
  options: Partial<WorldOptions> & { readonly claims?: readonly TestClaim[] } = {},
): Promise<Reading> {
  const a = upstreamWith('a', ...(options.claims ?? closure))
  const made = await world(t, { upstreams: [a], ...options })
  let counted = 0
  const readAhead = createReadAhead({
    ...{ finder: made.finder, transfers: made.transfers, clock: made.clock },
    log: createSilentLog(),
    meter: {
      narReadAhead: () => {
        counted += 1
      },
    },
    encoding: () => 'zstd',
    limit: () => 4,
    busyAt: 12,
    stopping: new AbortController().signal,
    ...changes,
  })
  return {
    made,
    queries: async (...claims) => {
      for (const claim of claims) {
        await fetchNarinfo(made, claim)
        readAhead.noted(client, claim.key.storePathHash)
      }
    },
    takes: async (claim) => {
      readAhead.asked(client, claim.key)
      await fetchNar(made, claim.key)
    },
    fetched: async () => {
      // One that ended may have another begin.
      for (let before = -1; before < narsAsked(a).length;) {
        before = narsAsked(a).length
        await made.transfers.idle()
        await setImmediate()
        await made.transfers.idle()
      }
      return narsAsked(a).map((asked) => must(/\d+/.exec(asked))[0])
    },
    ahead: () => counted,
  }
}

t.test('who only asks for narinfos has nothing fetched', async (t) => {
  const { queries, fetched } = await reading(t)
  await queries(...closure)
  t.same(await fetched(), [])
})

t.test('who takes a NAR has the others fetched meanwhile, and takes them from disk', async (t) => {
  const { queries, takes, fetched, ahead, made } = await reading(t)
  await queries(...closure)
  await takes(leaf)
  t.same([...(await fetched())].sort(), ['1', '2', '3', '4'])
  t.equal(ahead(), 3, 'counted')
  for (const claim of [second, third, top]) await takes(claim)
  t.equal((await fetched()).length, 4, 'each once')
  t.equal(made.keeper.totals().count, 4)
})

t.test('so many at once, references first', async (t) => {
  const { queries, takes, fetched } = await reading(t, { limit: () => 1 })
  await queries(top, third, second, leaf)
  await takes(numbered(5)).catch(() => undefined)
  t.same(await fetched(), ['1', '2', '3', '4'])
})

t.test('not on while the client asks for nothing more', async (t) => {
  const rest = gate()
  const a = upstreamWith('a', ...closure)
  const nar = must(a.answers.nar)
  a.answers.nar = async (url, signal) => {
    await rest.promise
    return nar(url, signal)
  }
  const { queries, takes, fetched, made } = await reading(t, { limit: () => 1 }, { upstreams: [a] })
  await queries(top, third, second, leaf)
  const taken = takes(leaf)
  made.clock.advance(6000)
  rest.resolve(undefined)
  await taken
  await fetched()
  t.equal(narsAsked(a).length, 2, 'the one that was asked for, and the one beside it')
})

t.test('nothing that is stored, too large, unknown, or where there is no place', async (t) => {
  const stored = await reading(t)
  await stored.queries(second, leaf)
  await fetchNar(stored.made, second.key)
  await stored.made.transfers.idle()
  await stored.takes(leaf)
  t.same(await stored.fetched(), ['2', '1'])

  const large = claimFor(randomBytes(1000, 9), {
    ...{ storePath: top.narinfo.storePath, url: 'nar/4.nar' },
    narSize: 2n ** 27n + 1n,
  })
  const few = await reading(t, {}, { claims: [large, leaf] })
  await few.queries(large, leaf)
  await few.takes(leaf)
  t.same(await few.fetched(), ['1'], 'what takes long is sent as it comes')

  for (const changes of [{ limit: () => 0 }, { busyAt: 0 }]) {
    const none = await reading(t, changes)
    await none.queries(...closure)
    await none.takes(leaf)
    t.same(await none.fetched(), ['1'])
  }

  const forgotten = await reading(t)
  await forgotten.queries(second, leaf)
  forgotten.made.finder.policyChanged()
  await forgotten.takes(leaf)
  t.same(await forgotten.fetched(), ['1'], 'nobody trusts it any more, as far as is known')
})

const { key } = leaf

function hashOf(number: number): StorePathHash {
  return must(parseStorePathHash(String(number).padStart(32, '0')))
}

/** Reads ahead what nobody knows of any more; which hashes it looked for. */
function readingUnknown() {
  const looked = new Set<StorePathHash>()
  const readAhead = createReadAhead({
    finder: {
      known: (hash) => {
        looked.add(hash)
        return null
      },
      records: () => Promise.resolve([]),
    },
    transfers: {
      running: () => null,
      start: () => {
        throw new Error('nothing is there to start')
      },
      count: () => 0,
    },
    encoding: () => 'zstd',
    ...{ limit: () => 2, busyAt: 10, stopping: new AbortController().signal },
    ...{ clock: createFixedClock(), log: createSilentLog(), meter: createNullMeter() },
  })
  return { looked, readAhead }
}

t.test('of what many clients noted, reading ahead', async (t) => {
  t.test('looks at some of what a client noted in one go, the latest first', async (t) => {
    const { looked, readAhead } = readingUnknown()
    for (let number = 0; number < 5000; number += 1) readAhead.noted('client', hashOf(number))
    readAhead.asked('client', key)
    t.ok(looked.has(hashOf(4999)))
    t.ok(looked.size <= 100, 'and not at thousands while others wait')
    readAhead.asked('client', key)
    t.ok(looked.size > 100, 'the next ones come next time')
  })

  t.test('remembers only so much of all clients', async (t) => {
    const { looked, readAhead } = readingUnknown()
    for (let client = 0; client < 11; client += 1) {
      for (let number = 0; number < 10_000; number += 1) {
        readAhead.noted(`client ${client}`, hashOf(client * 10_000 + number))
      }
    }
    readAhead.asked('client 0', key)
    t.equal(looked.size, 0, 'who was here first is forgotten')
    readAhead.asked('client 10', key)
    t.ok(looked.size > 0)
  })
})
