import t from 'tap'
import { tryOldClients } from '../soak/old-clients.ts'
import { createTally } from '../soak/tally.ts'
import { evict, loseEverything } from '../soak/weir-events.ts'

t.setTimeout(300_000)

t.test(
  'clients that remember narinfos, or have a part of a NAR: they get the right rest, whatever happened to Weir',
  async (t) => {
    const tally = createTally()
    // The others are soaked; that the cache or the catalog alone is lost is tested with whole closures too.
    const events = { 'an eviction': evict, 'the loss of cache and state': loseEverything }
    await tryOldClients({ seed: 1, encodings: ['xz'], events, tally })
    t.same(tally.failures, [])
    t.comment(tally.counts())
  },
)
