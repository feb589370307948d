import type { Test } from 'tap'
import type { Clock } from '../../src/ports/clock.ts'
import type { Evidence, ServedNar, ServedQuery } from '../../src/ports/evidence.ts'
import { createFixedClock } from '../fakes/fixed-clock.ts'
import { pathHash } from '../nix/fixtures.ts'
import { evidenceEventsContract } from './evidence-events-contract.ts'
import { type Behaves, keyBytes, once, servedNar, startMs, testFound } from './evidence-fixtures.ts'

/** What every Evidence does; `open` gives an empty one that takes its times from the clock. */
export function evidenceContract(t: Test, open: (clock: Clock) => Promise<Evidence>): void {
  const behaves: Behaves = (title, act) => {
    t.test(title, async (t) => {
      const clock = createFixedClock(startMs)
      const evidence = await open(clock)
      try {
        await act(t, evidence, clock)
      } finally {
        await evidence.close()
      }
    })
  }
  notingContract(behaves)
  mergingContract(behaves, 'within one batch')
  mergingContract(behaves, 'over many batches')
  queryContract(behaves)
  keyContract(behaves)
  orderContract(behaves)
  evidenceEventsContract(behaves)

  t.test('closed evidence answers nothing, and may be closed again', async (t) => {
    const evidence = await open(createFixedClock(startMs))
    await evidence.close()
    await t.rejects(evidence.findServed({}, 1))
    await t.rejects(evidence.findEvents(null, 1))
    await evidence.close()
  })
}

function notingContract(behaves: Behaves): void {
  behaves('nothing is found where nothing was handed out', async (t, evidence) => {
    t.strictSame(await evidence.findServed({}, 10), [])
    t.strictSame(await evidence.findEvents(null, 10), [])
    await evidence.flush()
  })

  behaves(
    'a serving is found as it was noted, before and after it is durable',
    async (t, evidence) => {
      const nar = servedNar('0', 'hello-2.12')
      evidence.served(nar)
      t.strictSame(await evidence.findServed({}, 10), [once(nar)])
      await evidence.flush()
      t.strictSame(await evidence.findServed({}, 10), [once(nar)])
    },
  )

  behaves('no rule, no key and text of any kind are kept as they are', async (t, evidence) => {
    const nar = servedNar('0', 'hello-2.12', {
      keys: [],
      rule: null,
      upstream: `Ünï'code" ; DROP TABLE served; --`,
      client: 'unix:',
    })
    evidence.served(nar)
    t.strictSame(await evidence.findServed({}, 10), [once(nar)])
  })

  behaves('another client, NAR or name is another record', async (t, evidence) => {
    const nars = [
      servedNar('0', 'hello-2.12'),
      servedNar('0', 'hello-2.12', { client: '192.0.2.2' }),
      servedNar('0', 'hello-2.12', { narHash: '1'.repeat(52) }),
      servedNar('0', 'harmless-1.0'),
    ]
    for (const nar of nars) evidence.served(nar)
    const found = await evidence.findServed({ hash: servedNar('0', 'x').hash }, 10)
    t.same(new Set(found), new Set(nars.map((nar) => once(nar))))
  })
}

function mergingContract(behaves: Behaves, how: 'within one batch' | 'over many batches'): void {
  const between = (evidence: Evidence): Promise<void> =>
    how === 'over many batches' ? evidence.flush() : Promise.resolve()

  behaves(`the same NAR for the same client is one record, ${how}`, async (t, evidence, clock) => {
    const nar = servedNar('0', 'hello-2.12')
    for (let times = 0; times < 3; times += 1) {
      evidence.served(nar)
      await between(evidence)
      clock.advance(10)
    }
    const record = { ...nar, firstMs: startMs, lastMs: startMs + 20, count: 3 }
    t.strictSame(await evidence.findServed({}, 10), [record])
  })

  behaves(
    `the latest upstream, keys, rule and epoch are kept, ${how}`,
    async (t, evidence, clock) => {
      evidence.served(servedNar('0', 'hello-2.12'))
      await between(evidence)
      clock.advance(10)
      const latest = servedNar('0', 'hello-2.12', {
        upstream: 'theirs',
        keys: [`theirs-1:${keyBytes('B')}`, `theirs-2:${keyBytes('C')}`],
        rule: null,
        epoch: 'epoch-2',
      })
      evidence.served(latest)
      const record = { ...latest, firstMs: startMs, lastMs: startMs + 10, count: 2 }
      t.strictSame(await evidence.findServed({}, 10), [record])
    },
  )

  behaves(`a clock that goes backwards shortens nothing, ${how}`, async (t, evidence, clock) => {
    const nar = servedNar('0', 'hello-2.12')
    for (const advanceMs of [0, -50, 20]) {
      clock.advance(advanceMs)
      evidence.served(nar)
      await between(evidence)
    }
    const record = { ...nar, firstMs: startMs - 50, lastMs: startMs, count: 3 }
    t.strictSame(await evidence.findServed({}, 10), [record])
  })
}

const nars: readonly ServedNar[] = [
  servedNar('0', 'linux-6.6.1'),
  servedNar('0', 'linux-6.6.1', { client: '2001:db8::1' }),
  servedNar('1', 'linux-6.7'),
  servedNar('2', 'linux-firmware-20240610', { keys: [`theirs-1:${keyBytes('B')}`] }),
  servedNar('3', 'Linux-6.6.1', { client: '2001:db8::1' }),
  servedNar('4', 'linux-6.6.1.drv', { narHash: '0'.repeat(52), keys: [] }),
]
const queries: readonly (readonly [query: ServedQuery, found: readonly number[]])[] = [
  [{}, [0, 1, 2, 3, 4, 5]],
  [{ hash: pathHash('0'.repeat(32)) }, [0, 1]],
  [{ hash: pathHash('9'.repeat(32)) }, []],
  [{ path: `${'1'.repeat(32)}-linux-6.7` }, [2]],
  [{ path: `${'1'.repeat(32)}-linux` }, []],
  [{ narHash: '0'.repeat(52) }, [0, 1, 5]],
  [{ package: 'linux' }, [0, 1, 2, 5]],
  [{ package: 'linux-firmware' }, [3]],
  [{ package: 'linux-6.7' }, []],
  [{ keyBytes: keyBytes('A') }, [0, 1, 2, 4]],
  [{ keyBytes: keyBytes('B') }, [3]],
  [{ keyBytes: keyBytes('C') }, []],
  [{ client: '2001:db8::1' }, [1, 4]],
  [{ package: 'linux', client: '2001:db8::1' }, [1]],
  [{ package: 'linux', keyBytes: keyBytes('A') }, [0, 1, 2]],
  [{ package: 'linux', keyBytes: keyBytes('B') }, []],
  [{ narHash: '0'.repeat(52), client: '192.0.2.1' }, [0, 5]],
  [
    {
      hash: pathHash('0'.repeat(32)),
      path: `${'0'.repeat(32)}-linux-6.6.1`,
      narHash: '0'.repeat(52),
      package: 'linux',
      keyBytes: keyBytes('A'),
      client: '2001:db8::1',
    },
    [1],
  ],
]

function queryContract(behaves: Behaves): void {
  behaves('a record is found where all that a query gives holds', async (t, evidence, clock) => {
    for (const nar of nars) {
      evidence.served(nar)
      clock.advance(-1)
    }
    for (const [query, found] of queries) {
      const expected = found.map((index) => nars[index])
      const records = await evidence.findServed(query, 10)
      testFound(t, records, expected, JSON.stringify(query))
    }
  })
}

function keyContract(behaves: Behaves): void {
  behaves('a key is found by its bytes, whatever its name', async (t, evidence, clock) => {
    const one = servedNar('0', 'hello-2.12', { keys: [`ours-1:${keyBytes('A')}`] })
    const other = servedNar('1', 'hello-2.13', {
      keys: [`theirs-1:${keyBytes('B')}`, `renamed-1:${keyBytes('A')}`],
    })
    evidence.served(other)
    clock.advance(-1)
    evidence.served(one)
    testFound(t, await evidence.findServed({ keyBytes: keyBytes('A') }, 10), [other, one])
    testFound(t, await evidence.findServed({ keyBytes: keyBytes('B') }, 10), [other])
    t.strictSame(await evidence.findServed({ keyBytes: 'ours-1' }, 10), [])
  })

  for (const how of ['within one batch', 'over many batches']) {
    behaves(`a key that vouched earlier finds the record too, ${how}`, async (t, evidence) => {
      for (const key of ['A', 'B', 'C', 'B']) {
        evidence.served(servedNar('0', 'hello-2.12', { keys: [`key-1:${keyBytes(key)}`] }))
        if (how === 'over many batches') await evidence.flush()
      }
      for (const key of ['A', 'B', 'C']) {
        const [record, ...others] = await evidence.findServed({ keyBytes: keyBytes(key) }, 10)
        t.strictSame(record?.keys, [`key-1:${keyBytes('B')}`], 'it tells the latest')
        t.equal(record?.count, 4)
        t.strictSame(others, [])
      }
    })
  }
}

function orderContract(behaves: Behaves): void {
  behaves('what was handed out latest comes first, however often', async (t, evidence, clock) => {
    const [one, two, three] = ['0', '1', '2'].map((hash) => servedNar(hash, 'hello-2.12'))
    for (const nar of [one, two, two, three, one]) {
      if (nar !== undefined) evidence.served(nar)
      clock.advance(1)
    }
    testFound(t, await evidence.findServed({}, 10), [one, three, two])
    testFound(t, await evidence.findServed({ package: 'hello' }, 10), [one, three, two])
    testFound(t, await evidence.findServed({ client: '192.0.2.1' }, 10), [one, three, two])
  })

  behaves(
    'no more records are found than the limit, the latest of all',
    async (t, evidence, clock) => {
      const nars = ['0', '1', '2'].map((hash) => servedNar(hash, 'hello-2.12'))
      for (const nar of nars) {
        evidence.served(nar)
        clock.advance(1)
      }
      for (const query of [{}, { package: 'hello' }, { keyBytes: keyBytes('A') }]) {
        t.strictSame(await evidence.findServed(query, 0), [])
        const two = await evidence.findServed(query, 2)
        t.strictSame(
          two.map(({ hash }) => hash),
          [nars[2]?.hash, nars[1]?.hash],
        )
      }
    },
  )
}
