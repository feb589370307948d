/** A question that others are asked for later, when a newer one has its answer. */
import t from 'tap'
import { UpstreamError } from '../../src/ports/upstream.ts'
import { patternNar } from '../fakes/encode-nar.ts'
import { createFakeUpstream } from '../fakes/fake-upstream.ts'
import { fetchNarinfo, gate, getNar, isSettled } from '../fakes/substituter-client.ts'
import { world } from '../fakes/substituter-world.ts'
import { claimFor } from '../fakes/test-claims.ts'
const hello = claimFor(patternNar)
const hash = hello.key.storePathHash
t.test('an old question does not forget what a newer one said', async (t) => {
  let text: Uint8Array | null = hello.text
  const nar = gate()
  const a = createFakeUpstream('a', {
    narinfo: () => text,
    nar: () =>
      nar.promise.then(() => {
        throw new UpstreamError('reset', 'x')
      }),
  })
  const b = createFakeUpstream('b')
  const it = await world(t, {
    upstreams: [a, b],
    of: { a: { equivalent: 'g' }, b: { equivalent: 'g' } },
  })
  await fetchNarinfo(it, hello)
  const got = getNar(it, hello.key)
  await isSettled(got)
  it.finder.forget(hash)
  text = null
  it.substituter.changed(hash)
  t.equal((await it.substituter.narinfo(hash)).kind, 'absent')
  await isSettled(Promise.resolve())
  t.not(it.finder.fruitless(hash), null)
  nar.resolve(undefined)
  await got
  await isSettled(Promise.resolve())
  t.not(it.finder.fruitless(hash), null, 'still known')
})
