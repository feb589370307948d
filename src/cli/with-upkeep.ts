import { askStatus } from '../control/control-client.ts'
import { remoteUpkeep } from '../control/remote-upkeep.ts'
import { openOffline } from '../offline.ts'
import type { Settings } from '../settings/settings.ts'
import type { Upkeep } from '../upkeep/upkeep.ts'
import type { CliWorld } from './command.ts'
import { createCommandLog } from './command-log.ts'

/** Who does the upkeep: the Weir that runs, or this process alone. */
export type UpkeepAtHand = { readonly upkeep: Upkeep; readonly isRunning: boolean }

/** Uses the Weir that runs on the state folder, or takes the folders where none does. */
export async function withUpkeep<T>(
  world: CliWorld,
  settings: Settings,
  use: (atHand: UpkeepAtHand) => Promise<T>,
): Promise<T> {
  const { dir } = settings.state
  if ((await askStatus(dir)) !== null) return use({ upkeep: remoteUpkeep(dir), isRunning: true })
  await using offline = await openOffline(settings, createCommandLog(world))
  return await use({ upkeep: offline.upkeep, isRunning: false })
}

/** Gives `act` a signal that SIGINT and SIGTERM abort. */
export async function untilInterrupted<T>(
  { signals }: Pick<CliWorld, 'signals'>,
  act: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController()
  const interrupt = (): void => {
    abort.abort()
  }
  for (const name of ['SIGINT', 'SIGTERM']) signals.on(name, interrupt)
  try {
    return await act(abort.signal)
  } finally {
    for (const name of ['SIGINT', 'SIGTERM']) signals.off(name, interrupt)
  }
}
