/** What is stored. */
import { deepEqual, equal } from 'node:assert/strict'
import t from 'tap'
import { listStored } from '../../src/ingest/list-stored.ts'
import { verifyStored } from '../../src/ingest/verify-stored.ts'
import { encodeNar, smallNar } from '../fakes/encode-nar.ts'
import { inMemory, promiseOf } from '../fakes/ingest-sources.ts'
import { selfNar } from '../nix/fixtures.ts'
import { narString } from '../nix/tree.ts'

t.test('a damaged file is told as such, and never listed or taken for right', async (t) => {
  const promised = promiseOf(smallNar)
  for (const encoding of ['none', 'zstd', 'xz', 'gzip'] as const) {
    const whole = await encodeNar(encoding, smallNar)
    const right = await listStored(inMemory(whole), encoding, promised)
    t.match(right, { kind: 'listed' })
    t.equal(await verifyStored(inMemory(whole), encoding, promised), true)
    const check = async (bytes: Uint8Array, what: string): Promise<void> => {
      const outcome = await listStored(inMemory(bytes), encoding, promised)
      const isRight = await verifyStored(inMemory(bytes), encoding, promised)
      equal(isRight, outcome.kind === 'listed', what)
      // Some bits of an encoding say nothing of its content.
      if (outcome.kind === 'listed') deepEqual(outcome, right, what)
      else equal(outcome.kind, 'corrupt', what)
    }
    for (let at = 0; at < whole.length; at += 1) {
      const mutated = Uint8Array.from(whole)
      mutated[at] = (mutated[at] ?? 0) ^ (1 << (at % 8))
      await check(mutated, `${encoding}, byte ${at}`)
      if (at % 8 === 0) {
        const cut = await listStored(inMemory(whole.subarray(0, at)), encoding, promised)
        equal(cut.kind, 'corrupt', `${encoding}, cut at ${at}`)
      }
    }
    const other = await encodeNar(encoding, selfNar)
    t.match(await listStored(inMemory(other), encoding, promised), { kind: 'corrupt' })
  }
})

t.test('what is the promised file and no NAR is not listed, and not called damaged', async (t) => {
  const noNar = Buffer.from('no NAR at all')
  const trailing = Buffer.concat([smallNar, narString('more')])
  for (const bytes of [noNar, trailing, smallNar.subarray(0, 64)]) {
    const outcome = await listStored(inMemory(bytes), 'none', promiseOf(bytes))
    t.match(outcome, { kind: 'unlistable', why: /^malformed NAR near byte/ })
  }
})
