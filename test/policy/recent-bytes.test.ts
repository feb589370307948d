import fc from 'fast-check'
import t from 'tap'
import { RecentBytes } from '../../src/policy/recent-bytes.ts'

t.test('it is the sum of what came in those seconds', (t) => {
  const steps = fc.array(
    fc.record({
      afterMs: fc.nat(3000),
      bytes: fc.nat(1000),
      asked: fc.integer({ min: 1, max: 12 }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  fc.assert(
    fc.property(fc.nat(2_000_000), fc.integer({ min: 1, max: 9 }), steps, (startMs, kept, all) => {
      const recent = new RecentBytes(kept)
      const came: { readonly second: number; readonly bytes: number }[] = []
      let nowMs = startMs
      return all.every(({ afterMs, bytes, asked }) => {
        nowMs += afterMs
        const second = Math.floor(nowMs / 1000)
        recent.add(bytes, nowMs)
        came.push({ second, bytes })
        const counted = came.filter((each) => each.second > second - Math.min(asked, kept))
        return recent.of(asked, nowMs) === counted.reduce((sum, each) => sum + each.bytes, 0)
      })
    }),
    { seed: 20261126 },
  )
  t.end()
})

t.test('a clock that is set back loses nothing, and counts as if it stood', (t) => {
  const recent = new RecentBytes(3)
  recent.add(5, 10_000)
  recent.add(7, 4000)
  t.equal(recent.of(1, 4000), 12)
  t.end()
})
