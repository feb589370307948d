import type { ListedNar } from '../upkeep/list-stored.ts'
import type { RebuildReport } from '../upkeep/rebuild.ts'
import type { GcReport, StatsReport, Upkeep } from '../upkeep/upkeep.ts'
import type { VerifyEvent } from '../upkeep/verify.ts'
import { askControl, ControlError, streamControl } from './control-client.ts'

/** The upkeep that the Weir which runs on a state folder does; `ControlError` where it ended meanwhile. */
export function remoteUpkeep(stateDir: string): Upkeep {
  const post = (path: string, request: unknown) => ({
    ...({ method: 'POST', path } as const),
    body: JSON.stringify(request),
  })
  const ask = async <Answer>(path: string, request: unknown): Promise<Answer> => {
    const answer = await askControl<Answer>(stateDir, post(path, request))
    if (answer === null) throw new ControlError('the running Weir ended meanwhile: try again')
    return answer
  }
  return {
    verify: (request, signal) =>
      streamControl<VerifyEvent>(stateDir, post('/verify', request), signal),
    rebuild: (signal) => streamControl<RebuildReport>(stateDir, post('/rebuild', {}), signal),
    gc: (downToBytes) => ask<GcReport>('/gc', { downToBytes }),
    stats: (top) => ask<StatsReport>('/stats', { top }),
    list: (selection, signal) =>
      streamControl<ListedNar>(stateDir, post('/ls', { selection }), signal),
  }
}
