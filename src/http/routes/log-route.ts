import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { BuildLogs } from '../../substituter/build-logs.ts'
import { reasonForAll } from '../../admin/reason-for-all.ts'
import { replyUnknown } from './no-claim.ts'
import { replyText } from '../reply.ts'

/** `GET /log/<derivation>`: a build log, as text and nothing else. */
export async function answerLog(
  buildLogs: BuildLogs,
  response: ServerResponse,
  derivation: string,
  signal: AbortSignal,
): Promise<void> {
  const answer = await buildLogs.find(derivation, signal)
  switch (answer.kind) {
    case 'absent':
      replyText(response, 404, 'no upstream has this build log')
      return
    case 'unknown':
      replyUnknown(response, reasonForAll(answer.why))
      return
    case 'found':
      response.writeHead(200, {
        'content-type': 'text/plain; charset=utf-8',
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; sandbox",
      })
      if (response.req.method !== 'HEAD') {
        for await (const chunk of answer.body) {
          if (!response.write(chunk)) await once(response, 'drain', { signal })
        }
      }
      response.end()
  }
}
