import t from 'tap'
import { parseStorePathHash, type StorePathHash } from '../../src/nix/store-path.ts'
import { createReadAhead } from '../../src/substituter/read-ahead.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { createNullMeter } from '../fakes/null-meter.ts'
import { createSilentLog } from '../fakes/silent-log.ts'
import { numbered } from '../fakes/test-claims.ts'
import { must } from '../nix/fixtures.ts'

const { key } = numbered(1)

function hashOf(number: number): StorePathHash {
  return must(parseStorePathHash(String(number).padStart(32, '0')))
}

/** Reads ahead what nobody knows of any more; which hashes it looked for. */
function readingAhead() {
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

t.test('reading ahead', async (t) => {
  t.test('looks at some of what a client noted in one go, the latest first', async (t) => {
    const { looked, readAhead } = readingAhead()
    for (let number = 0; number < 5000; number += 1) readAhead.noted('client', hashOf(number))
    readAhead.asked('client', key)
    t.ok(looked.has(hashOf(4999)))
    t.ok(looked.size <= 100, 'and not at thousands while others wait')
    readAhead.asked('client', key)
    t.ok(looked.size > 100, 'the next ones come next time')
  })

  t.test('remembers only so much of all clients', async (t) => {
    const { looked, readAhead } = readingAhead()
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
