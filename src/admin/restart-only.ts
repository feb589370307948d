import { isDeepStrictEqual } from 'node:util'
import type { Settings } from '../settings/settings.ts'

/** Keys that a running Weir cannot change, and where they stand in the settings. */
const restartOnly: readonly {
  readonly key: string
  readonly read: (settings: Settings) => unknown
}[] = [
  { key: 'server.listen', read: ({ server }) => server.listen },
  { key: 'server.store_dir', read: ({ server }) => server.storeDir },
  { key: 'server.priority', read: ({ server }) => server.priority },
  { key: 'server.hosts', read: ({ server }) => server.hosts },
  { key: 'server.metrics', read: ({ server }) => server.metrics },
  { key: 'server.drain_timeout', read: ({ server }) => server.drainTimeoutMs },
  { key: 'cache.dir', read: ({ cache }) => cache.dir },
  { key: 'state.dir', read: ({ state }) => state.dir },
  { key: 'signing.key_file', read: ({ signing }) => signing.keyFile },
  { key: 'nar.workers', read: ({ nar }) => nar.workers },
  { key: 'nar.max_transfers', read: ({ nar }) => nar.maxTransfers },
  { key: 'log', read: ({ log }) => log },
]

/** The next settings as a running Weir can take them, and the keys in which they differ from those that hold until a restart. */
export function keepRestartOnly(
  running: Settings,
  next: Settings,
): { readonly settings: Settings; readonly needRestart: readonly string[] } {
  return {
    settings: {
      ...next,
      server: { ...running.server, exposePrivate: next.server.exposePrivate },
      cache: { ...next.cache, dir: running.cache.dir },
      state: running.state,
      signing: { ...next.signing, keyFile: running.signing.keyFile },
      nar: {
        ...next.nar,
        workers: running.nar.workers,
        maxTransfers: running.nar.maxTransfers,
      },
      log: running.log,
    },
    needRestart: restartOnly
      .filter(({ read }) => !isDeepStrictEqual(read(running), read(next)))
      .map(({ key }) => key),
  }
}
