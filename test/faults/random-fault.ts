import type { FaultAction, FaultList } from '../lab/fault.ts'
import type { Dice } from '../soak/dice.ts'
import { narinfos, nars } from './fault-case.ts'

/** Of so many requests one fails. */
const oneIn = 10

type Actions = readonly [FaultAction, ...FaultAction[]]

const never = new Promise<never>(() => undefined)
const refusals: Actions = [
  { kind: 'status', status: 500 },
  { kind: 'status', status: 502 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 503, headers: { 'retry-after': '1' } },
  { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
  { kind: 'html' },
  { kind: 'delayUntil', until: never },
  { kind: 'wrongLength', by: 100 },
]

const forNarinfos: Actions = [
  ...refusals,
  { kind: 'reset', bytes: 0 },
  { kind: 'reset', bytes: 100 },
  { kind: 'truncate', bytes: 'last' },
  { kind: 'wrongLength', by: -50 },
  { kind: 'drip', everyMs: 1000 },
]

const forNars: Actions = [
  ...refusals,
  { kind: 'reset', bytes: 0 },
  { kind: 'reset', bytes: 'middle' },
  { kind: 'truncate', bytes: 'middle' },
  { kind: 'truncate', bytes: 'last' },
  { kind: 'wrongLength', by: -50 },
]

/** Has a tenth of the requests for narinfos and NARs fail, each in a way that the dice say. */
export function failAtRandom(faults: FaultList, dice: Dice, failed: () => void): void {
  for (const [path, actions] of [
    [narinfos, forNarinfos],
    [nars, forNars],
  ] as const) {
    const action = () => {
      if (dice.below(oneIn) > 0) return null
      failed()
      return dice.pick(actions)
    }
    faults.add({ path, action })
  }
}
