import type { PinList, Pinning, PinReport } from '../admin/pins.ts'
import { askControl, askStatus, ControlError } from '../control/control-client.ts'
import { openOffline } from '../offline.ts'
import type { Settings } from '../settings/settings.ts'
import type { Fetched } from '../substituter/fetch-path.ts'
import type { CliWorld } from './command.ts'
import { createCommandLog } from './command-log.ts'

/** The pins of the Weir that runs, else those of the folders alone. */
export async function pinningFor(
  world: CliWorld,
  settings: Settings,
): Promise<Pinning & AsyncDisposable> {
  const { dir } = settings.state
  if ((await askStatus(dir)) !== null) return runningPinning(dir)
  const offline = await openOffline(settings, createCommandLog(world))
  return { ...offline.pinning, [Symbol.asyncDispose]: () => offline[Symbol.asyncDispose]() }
}

function runningPinning(stateDir: string): Pinning & AsyncDisposable {
  const ask = async <Answer>(
    method: 'GET' | 'POST',
    path: string,
    query: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const answer = await askControl<Answer>(stateDir, { method, path, query })
    if (answer === null) throw new ControlError('the Weir that ran has stopped: try again')
    return answer
  }
  return {
    pin: (hash) => ask<PinReport>('POST', '/pin', { hash }),
    fetch: (hash) => ask<Fetched>('POST', '/pin-fetch', { hash }),
    unpin: async (hash) =>
      (await ask<{ readonly path: string | null }>('POST', '/unpin', { hash })).path,
    list: () => ask<PinList>('GET', '/pins'),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}
