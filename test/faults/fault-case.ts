import type { FaultAction } from '../lab/fault.ts'
import type { UpstreamServer } from '../lab/upstream-server.ts'
import type { MovingName } from './moving-name.ts'

/** The upstream that is to fail, and the name that Weir knows its address by. */
export type Faulty = { readonly upstream: UpstreamServer; readonly name: MovingName }

/** A way in which an upstream fails. */
export type FaultCase = {
  /** What it does, as a predicate: `refuses connections`. */
  readonly title: string
  /** What Weir is configured with: an address over http or https, or a name over http. */
  readonly reach: 'http' | 'https' | 'name'
  /** Whether everything can be had from it all the same. */
  readonly isSurvivable: boolean
  /** How long a command waits at most because the upstream says so or is away, alone and beside a good one: no time where it is not given. */
  readonly awayMs?: { readonly alone: number; readonly beside: number }
  /** Makes it fail from now on; what is returned mends it. */
  readonly begin: (faulty: Faulty) => Promise<() => Promise<void>>
}

export const everything = /^/
export const narinfos = /\.narinfo$/
export const nars = /^\/nar\//

/** A case in which it answers, but wrongly or late. */
export function answering(
  title: string,
  path: RegExp,
  actions: readonly FaultAction[],
  { timesEach = Infinity, isSurvivable = false } = {},
): FaultCase {
  return {
    ...{ title, reach: 'http', isSurvivable },
    begin: ({ upstream }) => {
      for (const action of actions) upstream.faults.add({ path, timesEach, action })
      return Promise.resolve(() => {
        upstream.faults.clear()
        return Promise.resolve()
      })
    },
  }
}

/** The same where each file fails the first time, and can be had the second time. */
export function onceEach(title: string, path: RegExp, ...actions: readonly FaultAction[]) {
  return answering(title, path, actions, { timesEach: 1, isSurvivable: true })
}
