import t from 'tap'
import { tryCrowd } from '../soak/crowd.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)

t.test(
  'a crowd walks through a cache of a tenth of the size: nobody fails, the limit holds, files and catalog agree',
  async (t) => {
    const tally = createTally()
    const size = { seconds: 12, rawClients: 12, nixClients: 2, paths: 80 }
    await tryCrowd({ seed: 1, ...size, tally })
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
