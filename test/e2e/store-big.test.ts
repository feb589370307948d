import t from 'tap'
import { tryBig } from '../soak/big.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)

t.test(
  'NARs of 300 MB of zeros and of noise: right to the last byte, in little memory',
  async (t) => {
    const tally = createTally()
    const kinds = [
      ['zeros', 'xz'],
      ['noise', 'none'],
    ] as const
    // How late the loop is, and how much waits in buffers, says more of a machine that is busy with other tests than of Weir: the long
    // trial is strict about both.
    const limits = { maxLagMs: null, maxRssMiB: 150 }
    await tryBig({ bytes: 300_000_000, clients: 2, kinds, ...limits, tally })
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
