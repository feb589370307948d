import type { Log } from '../ports/log.ts'
import type { NetworkState } from '../ports/network-state.ts'

export type NetworkWatchDeps = {
  /** Whether the configuration says that nobody is asked. */
  readonly isOffline: () => boolean
  /** Whether every upstream is down. */
  readonly allDown: () => boolean
  readonly log: Log
}

/** Says whether upstreams are asked, and tells the log each time that this became another. To be called whenever it may have. */
export function createNetworkWatch(deps: NetworkWatchDeps): () => NetworkState {
  let told: NetworkState = 'online'
  return () => {
    const state = deps.isOffline() ? 'offline' : deps.allDown() ? 'all-down' : 'online'
    if (state === told) return state
    told = state
    if (state === 'online') deps.log.info({ event: 'offline.ended' })
    else deps.log.warn({ event: 'offline.began', why: state })
    return state
  }
}
