import type { ServerResponse } from 'node:http'
import type { DrvOutput } from '../../nix/drv-output.ts'
import type { Realisations, RefusedRealisation } from '../../substituter/realisations.ts'
import { reasonForAll } from '../../admin/reason-for-all.ts'
import { replyUnknown } from './no-claim.ts'
import { reply, replyText } from '../reply.ts'

/** `GET /realisations/<id>.doi` and `GET /build-trace-v2/<derivation>/<output>.doi`: what an output turned out to be. */
export async function answerRealisation(
  realisations: Realisations,
  response: ServerResponse,
  output: DrvOutput,
  signal: AbortSignal,
): Promise<void> {
  const answer = await realisations.find(output, signal)
  switch (answer.kind) {
    case 'disabled':
      replyText(response, 404, 'realisations are not enabled')
      return
    case 'absent':
      replyText(response, 404, 'no upstream has this realisation', { 'x-weir-verdict': 'absent' })
      return
    case 'refused': {
      const said = answer.refusals.map((refusal) => describe(refusal)).join('; ')
      replyText(response, 404, `refused: ${said}`, { 'x-weir-verdict': 'refused' })
      return
    }
    case 'unknown':
      replyUnknown(response, reasonForAll(answer.why))
      return
    case 'found':
      reply(
        response,
        200,
        {
          'content-type': 'application/json',
          'x-content-type-options': 'nosniff',
          'x-weir-verdict': 'trusted',
          'x-weir-upstream': answer.upstream,
        },
        answer.body,
      )
  }
}

function describe({ upstream, reason, path }: RefusedRealisation): string {
  return `${upstream}: ${reason} (${path})`
}
