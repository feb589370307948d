/** The NAR of an upstream that fails is had from the next one of its group at once. */
import t from 'tap'
import { ingest } from '../../src/ingest/ingestion.ts'
import { createOpenSource } from '../../src/ingest/open-source.ts'
import { createRetryBudget } from '../../src/ingest/retry-budget.ts'
import type { NarIngest } from '../../src/ports/nar-ingest.ts'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNar, fetchNarinfo, getNar } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import { keys, narsAsked, numbered, upstreamWith } from '../fakes/test-claims.ts'

const one = numbered(1)

t.test('the next one is asked before the first is asked again', async (t) => {
  for (const hasB of [true, false]) {
    const a = createFakeUpstream('a', {
      narinfo: () => one.text,
      nar: () => {
        throw new UpstreamError('timeout', 'too late')
      },
    })
    const b = hasB
      ? upstreamWith('b', numbered(1, { signers: [keys.b], url: 'nar/b1.nar' }))
      : createFakeUpstream('b')
    const upstreams = [a, b]
    const open = createOpenSource((name) => upstreams.find((each) => each.name === name) ?? null)
    const timing = { pause: () => Promise.resolve(), random: () => 0.5 }
    const budget = createRetryBudget()
    const real: NarIngest = {
      ingest: (job, events, signal) => ingest(job, { open, timing, budget }, events, signal),
      close: () => Promise.resolve(),
    }
    const of = { a: { equivalent: 'g' }, b: { equivalent: 'g' } }
    const it = await world(t, { ingest: real, upstreams, of })
    await fetchNarinfo(it, one)
    if (hasB) await fetchNar(it, one.key)
    else t.match(await getNar(it, one.key), { kind: 'failed', failure: { kind: 'unknown' } })
    t.equal(narsAsked(a).length, hasB ? 1 : 4)
  }
})
