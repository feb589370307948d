import t from 'tap'
import { tryFallback } from '../faults/fallback.ts'
import { faultCases } from '../faults/fault-cases.ts'
import { columns, rowHeads } from '../faults/fault-table.ts'
import { makeFaultWorld } from '../faults/fault-world.ts'
import { wrongIn } from '../faults/judge-row.ts'
import { narinfos } from '../faults/fault-case.ts'
import { startUpstream } from '../lab/upstream-server.ts'
import { startWeir } from '../lab/weir-process.ts'
import { fetchNar, narUrlOf } from '../soak/fetch-path.ts'
import { tryFault } from '../faults/try-fault.ts'
import { tryDistance } from '../soak/distance.ts'
import { readTable } from '../soak/faults.ts'
import { tryRandomFaults } from '../soak/random-faults.ts'
import { createTally } from '../soak/tally.ts'

t.setTimeout(300_000)
const world = await makeFaultWorld({ seed: 1, paths: 4 })
t.teardown(() => world[Symbol.asyncDispose]())

// Long enough for a machine that is busy, short enough for a test.
const timeouts = { connect: '1s', headers: '1s', idle: '1s', narinfo: '2s' }
const brief = {
  extra: { timeouts, nar: { verify_first: '400kB' } },
  clientOptions: ['--option', 'download-attempts', '2'],
}
const tried = [
  'refuses connections',
  'answers the first request for each file with 503',
  'answers narinfos with a web page',
]

for (const title of tried) {
  t.test(`an upstream that ${title}`, async (t) => {
    const fault = faultCases.find((each) => each.title === title)
    if (fault === undefined) throw new Error(`there is no fault "${title}"`)
    for (const isAlone of [true, false]) {
      t.same(wrongIn(await tryFault({ world, fault, isAlone, isTimed: false, ...brief })), [])
    }
  })
}

t.test(
  'who could not tell about a path gives its NAR once whoever promised it is gone',
  async (t) => {
    await using first = await startUpstream({ root: world.roots.failing })
    await using second = await startUpstream({ root: world.roots.good })
    const upstreams = [first, second].map(({ url }, index) => ({
      ...{ name: `upstream-${index + 1}`, url, keys: world.keys },
    }))
    await using weir = await startWeir({ config: { upstreams } })
    const [offer] = world.closures.first
    if (offer === undefined) throw new Error('there is no path')
    const mend = second.faults.add({ path: narinfos, action: { kind: 'status', status: 400 } })
    const url = await narUrlOf(weir.url, offer)
    mend()
    await first.stop()
    t.match(await fetchNar(url, offer), { kind: 'right' })
  },
)

t.test('a client that may build does, where no upstream gives the NAR', async (t) => {
  t.same(await tryFallback(1), [])
})

t.test('a closure that only the last of five upstreams has: each is asked once', async (t) => {
  const tally = createTally()
  const size = { upstreams: 5, paths: 12, roundTripMs: 2 }
  await tryDistance({ seed: 1, ...size, isTimed: false, tally })
  t.same(tally.failures, [])
  t.comment(tally.counts())
})

t.test('three upstreams that fail at random: nothing wrong, nobody fails', async (t) => {
  const tally = createTally()
  const size = { rawClients: 4, nixClients: 1, paths: 40, closures: 2 }
  await tryRandomFaults({ seed: 1, seconds: 0, ...size, maxRequests: null, tally })
  t.same(tally.failures, [])
  t.comment(tally.counts())
})

t.test('docs/faults.md has a row for every fault', async (t) => {
  const [heads, ...rows] = await readTable()
  t.same(heads, columns)
  t.same(
    rows.map(([fault, beside]) => [fault, beside]),
    rowHeads,
  )
})
