import t from 'tap'
import { createTally } from '../soak/tally.ts'
import { tryWrongNars } from '../soak/wrong-nars.ts'

t.setTimeout(300_000)

t.test(
  'wrong NARs of every kind and encoding: never complete, never kept, and the next upstream’s is had',
  async (t) => {
    const tally = createTally()
    await tryWrongNars({ seed: 1, each: 1, narEncoding: 'zstd', tally })
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
