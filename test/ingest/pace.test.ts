import fc from 'fast-check'
import t from 'tap'
import { Pace, slowSeconds } from '../../src/ingest/pace.ts'

/** A pace whose clock stands until it is moved on. */
function paced() {
  let nowMs = 12_345
  const pace = new Pace(() => nowMs)
  const pass = (ms: number): void => {
    nowMs += ms
  }
  return { pace, pass }
}

t.test('slow is what gives less than 1024 bytes a second, for so long', (t) => {
  const { pace, pass } = paced()
  for (let second = 0; second < slowSeconds; second += 1) {
    t.notOk(pace.isSlowFor(slowSeconds), `not after ${second} s`)
    pace.came(1000)
    pass(1000)
  }
  t.ok(pace.isSlowFor(slowSeconds))
  pace.came(1)
  t.notOk(pace.isTooSlow, 'it is borne for some more seconds')
  pass(5000)
  t.ok(pace.isTooSlow)
  t.end()
})

t.test('what came fast and then hardly comes is slow all the same', (t) => {
  const { pace, pass } = paced()
  pace.came(1e9)
  pass(slowSeconds * 1000)
  t.notOk(pace.isSlowFor(slowSeconds), 'it came within that time')
  t.ok(pace.isSlowFor(1))
  pass(1000)
  t.ok(pace.isSlowFor(slowSeconds))
  pace.came(slowSeconds * 1024)
  t.notOk(pace.isSlowFor(slowSeconds))
  pace.ended()
  pass(100_000)
  t.notOk(pace.isSlowFor(1), 'nothing is awaited any more')
  t.end()
})

t.test('what comes again after a silence is not too slow at its first piece', (t) => {
  const { pace, pass } = paced()
  pace.came(1e6)
  pass(32_000)
  pace.came(14_000)
  t.notOk(pace.isTooSlow)
  pass(1000)
  pace.came(20_000)
  pass(10_000)
  t.notOk(pace.isTooSlow)
  t.end()
})

t.test('what waits for its reader is not slow', (t) => {
  const { pace, pass } = paced()
  pace.came(5000)
  pace.handed()
  pass(3_600_000)
  t.notOk(pace.isSlowFor(1), 'while it waits')
  pace.taken()
  t.notOk(pace.isSlowFor(1), 'nor because it waited')
  pass(1999)
  t.notOk(pace.isSlowFor(1))
  pass(1)
  t.ok(pace.isSlowFor(1))
  t.end()
})

t.test('at any steady rate, far below is slow and far above is not', (t) => {
  const rates = fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 2200, max: 9000 }))
  const waits = fc.integer({ min: 50, max: 400 })
  const spans = fc.integer({ min: 1, max: slowSeconds })
  fc.assert(
    fc.property(rates, waits, spans, (rate, everyMs, seconds) => {
      const { pace, pass } = paced()
      for (let ms = 0; ms < 70_000; ms += everyMs) {
        pass(everyMs)
        pace.came((rate * everyMs) / 1000)
      }
      return pace.isSlowFor(seconds) === rate <= 500
    }),
    { seed: 20261127 },
  )
  t.end()
})
