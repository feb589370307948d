/** A host that refuses connections since a moment ago, and others whose answers come meanwhile. */
import { zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { ingest } from '../../src/ingest/ingestion.ts'
import { createOpenSource } from '../../src/ingest/open-source.ts'
import { createOutages } from '../../src/ingest/outages.ts'
import { createRetryBudget } from '../../src/ingest/retry-budget.ts'
import type { NarIngest } from '../../src/ports/nar-ingest.ts'
import { type Upstream, UpstreamError } from '../../src/ports/upstream.ts'
import { bodyOf } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNar, fetchNarinfo, gate } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import { keys, numbered } from '../fakes/test-claims.ts'

const one = numbered(1)
const ofOther = numbered(1, { signers: [keys.b], url: 'nar/b1.nar' })

/** The real chain; time passes where it pauses. */
function createIngest(upstreams: readonly Upstream[]) {
  let nowMs = 0
  const timing = {
    pause: (ms: number): Promise<void> => {
      nowMs += ms
      return Promise.resolve()
    },
    random: () => 0.5,
  }
  const open = createOpenSource((name) => upstreams.find((each) => each.name === name) ?? null)
  const outages = createOutages(() => nowMs)
  const deps = { open, timing, outages, budget: createRetryBudget() }
  const chain: NarIngest = {
    ingest: (job, events, signal) => ingest(job, deps, events, signal),
    close: () => Promise.resolve(),
  }
  return { chain, nowMs: () => nowMs }
}

for (const [what, answer, from] of [
  ['promises it, gives it', ofOther.text, 'b'],
  ['does not have it, leaves the first one to be waited for', null, 'a'],
] as const) {
  t.test(`another one whose answer comes late, and ${what}`, async (t) => {
    const asked = gate()
    let isBack = (): boolean => false
    const a = createFakeUpstream('a', {
      narinfo: () => one.text,
      nar: () => {
        asked.resolve(undefined)
        if (isBack()) return bodyOf(one.nar)
        throw new UpstreamError('connect', 'refused', { isRefusal: true })
      },
    })
    const b = createFakeUpstream('b', {
      narinfo: async () => {
        await asked.promise
        return answer
      },
      nar: () => bodyOf(ofOther.nar),
    })
    const { chain, nowMs } = createIngest([a, b])
    isBack = () => from === 'a' && nowMs() > 3000
    const made = await world(t, { ingest: chain, upstreams: [a, b] })
    await fetchNarinfo(made, one)
    t.same(zstdDecompressSync(await fetchNar(made, one.key)), one.nar)
    t.equal(nowMs() > 3000, from === 'a', `after ${nowMs()} ms`)
    t.equal(b.asked.filter((each) => each.startsWith('nar ')).length, from === 'b' ? 1 : 0)
  })
}
