import type { TrustEventKind } from '../../src/ports/evidence.ts'
import { pathHash } from '../nix/fixtures.ts'
import { type Behaves, startMs, testFound, trustEvent } from './evidence-fixtures.ts'

/** What every Evidence does with events. */
export function evidenceEventsContract(behaves: Behaves): void {
  eventContract(behaves)
  eventMergingContract(behaves)
  eventOrderContract(behaves)
}

const kinds: readonly TrustEventKind[] = [
  'divergence',
  'lying-name',
  'wrong-nar',
  'bad-signature',
  'would-refuse',
  'upstream-suspended',
  'upstream-resumed',
  'recall',
  'recall-lifted',
]

function eventContract(behaves: Behaves): void {
  behaves('an event of any kind is found as it was noted', async (t, evidence, clock) => {
    const events = kinds.map((kind) => trustEvent({ kind, detail: `'${kind}'\n"Ünï"` }))
    for (const event of events) {
      evidence.happened(event)
      clock.advance(-1)
    }
    const records = await evidence.findEvents(null, 10)
    t.strictSame(
      records,
      events.map((event, index) => ({
        ...event,
        firstMs: startMs - index,
        lastMs: startMs - index,
        count: 1,
      })),
    )
  })
}

function eventMergingContract(behaves: Behaves): void {
  for (const how of ['within one batch', 'over many batches']) {
    behaves(`the same event is one record, ${how}`, async (t, evidence, clock) => {
      const events = [trustEvent(), trustEvent({ hash: null, upstream: null, detail: 'nothing' })]
      for (let times = 0; times < 3; times += 1) {
        for (const event of events) evidence.happened(event)
        if (how === 'over many batches') await evidence.flush()
        clock.advance(10)
      }
      const times = { firstMs: startMs, lastMs: startMs + 20, count: 3 }
      const expected = events.map((event) => ({ ...event, ...times }))
      t.same(new Set(await evidence.findEvents(null, 10)), new Set(expected))
    })
  }

  behaves('another kind, hash, upstream or detail is another event', async (t, evidence) => {
    const events = [
      trustEvent(),
      trustEvent({ kind: 'lying-name' }),
      trustEvent({ hash: pathHash('1'.repeat(32)) }),
      trustEvent({ hash: null }),
      trustEvent({ upstream: 'theirs' }),
      trustEvent({ upstream: null }),
      trustEvent({ detail: 'another' }),
    ]
    for (const event of events) evidence.happened(event)
    const records = await evidence.findEvents(null, 10)
    t.equal(records.length, events.length)
    for (const { count } of records) t.equal(count, 1)
  })
}

function eventOrderContract(behaves: Behaves): void {
  behaves('events are found by hash or all, the latest first', async (t, evidence, clock) => {
    const mine = trustEvent({ detail: 'one' })
    const mineToo = trustEvent({ detail: 'two' })
    const other = trustEvent({ hash: pathHash('1'.repeat(32)) })
    const ofNone = trustEvent({ hash: null })
    for (const event of [mine, mineToo, other, ofNone, mine]) {
      evidence.happened(event)
      clock.advance(1)
    }
    testFound(t, await evidence.findEvents(null, 10), [mine, ofNone, other, mineToo])
    const about = await evidence.findEvents(trustEvent().hash, 10)
    testFound(t, about, [mine, mineToo])
    testFound(t, await evidence.findEvents(null, 1), [mine])
    testFound(t, await evidence.findEvents(null, 3), [mine, ofNone, other])
    t.strictSame(await evidence.findEvents(null, 0), [])
    t.strictSame(await evidence.findEvents(pathHash('9'.repeat(32)), 10), [])
  })
}
