import { equal, ok } from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { createFairQueue, type FairQueue, type Turn } from '../../src/queue/fair-queue.ts'

const seed = 20260731
const never = new AbortController().signal
const turn = (client: string, group: string | null = null): Turn => ({ client, group })

/** Runs tasks that a test ends, and notes which began. */
function runner(queue: FairQueue) {
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  return {
    begun,
    run: (name: string, of: Turn, signal = never): Promise<string> =>
      queue.run(
        of,
        () =>
          new Promise((resolve) => {
            begun.push(name)
            ends.set(name, () => {
              resolve(name)
            })
          }),
        () => signal,
      ),
    end: async (...names: readonly string[]): Promise<void> => {
      for (const name of names) ends.get(name)?.()
      await setImmediate()
    },
  }
}

t.test("so many run at once, one client's first come first served", async (t) => {
  const queue = createFairQueue({ places: 2 })
  const { begun, run, end } = runner(queue)
  const all = ['1', '2', '3', '4'].map((name) => run(name, turn('a')))
  t.strictSame(begun, ['1', '2'])
  t.strictSame(queue.load(), { running: 2, waiting: 2 })
  await end('2')
  t.strictSame(begun, ['1', '2', '3'])
  await end('1', '3')
  await end('4')
  t.strictSame(await Promise.all(all), ['1', '2', '3', '4'])
  t.strictSame(queue.load(), { running: 0, waiting: 0 })
})

t.test('a client with few questions does not wait behind one with thousands', async (t) => {
  const { begun, run, end } = runner(createFairQueue({ places: 1 }))
  for (let each = 0; each < 1000; each += 1) void run(`a${each}`, turn('a'))
  void run('b0', turn('b'))
  void run('c0', turn('c'))
  void run('b1', turn('b'))
  for (let each = 0; each < 6; each += 1) await end(begun.at(-1) ?? '')
  t.strictSame(begun, ['a0', 'a1', 'b0', 'c0', 'a2', 'b1', 'a3'])
})

t.test('a task that fails gives its place to the next', async (t) => {
  const queue = createFairQueue({ places: 1 })
  const failed = queue.run(
    turn('a'),
    () => Promise.reject(new TypeError('of a test')),
    () => never,
  )
  const next = queue.run(
    turn('a'),
    () => Promise.resolve('next'),
    () => never,
  )
  await t.rejects(failed, { message: 'of a test' })
  t.equal(await next, 'next')
})

t.test("who gives up waiting is told why, and takes nobody's turn", async (t) => {
  const { begun, run, end } = runner(createFairQueue({ places: 1 }))
  const leaving = new AbortController()
  void run('1', turn('a'))
  const left = run('2', turn('b'), leaving.signal)
  void run('3', turn('a'))
  leaving.abort(new RangeError('of a test'))
  await t.rejects(left, { message: 'of a test' })
  await end('1')
  t.strictSame(begun, ['1', '3'])
  await t.rejects(run('4', turn('a'), leaving.signal), { message: 'of a test' })
})

t.test('who has a place is never asked how long it would wait', async (t) => {
  const queue = createFairQueue({ places: 1 })
  const asked = (): AbortSignal => {
    throw new TypeError('it need not wait')
  }
  t.equal(await queue.run(turn('a'), () => Promise.resolve(1), asked), 1)
})

t.test('a group that has its places lets others by', async (t) => {
  const { begun, run, end } = runner(createFairQueue({ places: 4, placesOfGroup: () => 3 }))
  for (let each = 0; each < 5; each += 1) void run(`slow${each}`, turn('a', 'slow'))
  t.strictSame(begun, ['slow0', 'slow1', 'slow2'])
  for (let each = 0; each < 3; each += 1) void run(`good${each}`, turn('a', 'good'))
  void run('own', turn('a'))
  await end('good0')
  await end('good1')
  await end('good2')
  t.strictSame(begun.slice(3), ['good0', 'good1', 'good2', 'own'])
  await end('slow1')
  t.equal(begun.at(-1), 'slow3')
})

t.test(
  'whoever comes and goes, places are full where somebody waits, and no client is passed over',
  async () => {
    const anyStep = fc.oneof(
      fc.record({
        kind: fc.constant('run' as const),
        client: fc.constantFrom('a', 'b', 'c'),
        group: fc.constantFrom(null, 'x', 'y'),
      }),
      fc.record({ kind: fc.constantFrom('end' as const, 'leave' as const), pick: fc.nat(100) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 60 }), async (steps) => {
        const { begun, run, end } = runner(createFairQueue({ places: 3, placesOfGroup: () => 2 }))
        const running = new Map<string, Turn>()
        const waiting = new Map<string, { readonly of: Turn; readonly leaving: AbortController }>()
        let count = 0
        const settle = async (): Promise<void> => {
          await setImmediate()
          for (const name of begun.splice(0)) {
            const entry = waiting.get(name)
            if (entry !== undefined) running.set(name, entry.of)
            waiting.delete(name)
          }
          const inGroup = (group: string): number =>
            [...running.values()].filter((each) => each.group === group).length
          ok(running.size <= 3 && inGroup('x') <= 2 && inGroup('y') <= 2)
          const couldRun = [...waiting.values()].some(
            ({ of: { group } }) => group === null || inGroup(group) < 2,
          )
          if (couldRun) equal(running.size, 3)
        }
        for (const step of steps) {
          if (step.kind === 'run') {
            const name = String(count++)
            const leaving = new AbortController()
            const of = turn(step.client, step.group)
            waiting.set(name, { of, leaving })
            run(name, of, leaving.signal).catch(() => undefined)
          } else {
            const names = [...(step.kind === 'end' ? running : waiting).keys()]
            const name = names[step.pick % Math.max(1, names.length)] ?? ''
            if (step.kind === 'leave') waiting.get(name)?.leaving.abort()
            else running.delete(name)
            if (step.kind === 'end') await end(name)
            else waiting.delete(name)
          }
          await settle()
        }
        // In the end everybody gets a turn.
        while (running.size > 0) {
          const [name = ''] = running.keys()
          running.delete(name)
          await end(name)
          await settle()
        }
        equal(waiting.size, 0)
      }),
      { seed, numRuns: 100 },
    )
  },
)
