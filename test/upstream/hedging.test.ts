import t from 'tap'
import { createGroupHedging } from '../../src/upstream/steady/hedging.ts'

const patient = new AbortController().signal

t.test('an upstream is slow once it takes longer than in 95 of 100 cases', async (t) => {
  const pauses: number[] = []
  const hedges: string[] = []
  const hedging = createGroupHedging({
    timing: {
      random: () => 0.5,
      pause: (ms) => {
        pauses.push(ms)
        return Promise.resolve()
      },
    },
    hedged: (upstream) => hedges.push(upstream),
  })
  const ask = (upstream: string): Promise<boolean> => {
    hedging.asked()
    return hedging.isSlow(upstream, patient)
  }
  for (let ms = 1; ms <= 100; ms += 1) hedging.took('a', ms)
  t.equal(await ask('new'), false, 'of one that answered nothing yet nothing is known')
  let slow = 0
  for (let question = 0; question < 1000; question += 1) slow += Number(await ask('a'))
  t.same([...new Set(pauses)], [95])
  t.ok(slow > 45 && slow <= 50, `${slow} of 1,000 were asked besides`)
  t.same(hedges.length, slow)
})

t.test('nobody is slow who answers before', async (t) => {
  const hedging = createGroupHedging({
    timing: { random: () => 0.5, pause: () => Promise.reject(new Error('answered')) },
    hedged: () => undefined,
  })
  for (let count = 0; count < 100; count += 1) {
    hedging.took('a', 1)
    hedging.asked()
  }
  await t.rejects(hedging.isSlow('a', patient), /answered/)
})
