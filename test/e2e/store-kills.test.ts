import t from 'tap'
import { tryKills } from '../soak/kills.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)

t.test(
  'kill -9 under load, again and again: all that was stored is served, nothing wrong is, nothing is left',
  async (t) => {
    const tally = createTally()
    await tryKills({ seed: 1, kills: 5, clients: 4, paths: 40, tally })
    t.same(tally.failures, [])
    t.equal(tally.counts()['kills'], 5)
    t.comment(tally.counts())
  },
)
