/** Puts together what shows a running Weir: what it does, as data. */
import type { Activity } from './activity/activity.ts'
import { createActivity } from './activity/create-activity.ts'
import { clientLines } from './admin/client-lines.ts'
import type { Core } from './core.ts'
import type { Clock } from './ports/clock.ts'

export type Started = {
  readonly version: string
  /** `name:base64` */
  readonly publicKey: string
  readonly atMs: number
}

export function assembleActivity(core: Core, started: Started, clock: Clock): Activity {
  const { keeper, policy, storing, suspending, transfers } = core
  const { version, publicKey, atMs } = started
  return createActivity({
    ...{ version, publicKey, startedMs: atMs, clock },
    ...{ recorder: core.recorder, catalog: core.catalog, health: core.health },
    ...{ network: core.network, policy: policy.current },
    transfers: () => transfers.onTheirWay(),
    upstreams: () => policy.settings().upstreams,
    suspended: (name) =>
      suspending.suspensions.list().find(({ upstream }) => upstream === name)?.why ?? null,
    cache: () => {
      const { used, pinned, limit, free } = keeper.room()
      return {
        ...{ nars: keeper.totals().count, bytes: used, limitBytes: limit },
        ...{ pinnedBytes: pinned, freeBytes: free, isStoring: storing.isOn() },
      }
    },
    clientLines: (address) => {
      const { signing, upstreams } = policy.settings()
      return clientLines({ address, publicKey, mode: signing.mode, upstreams })
    },
  })
}
