import type { ServerResponse } from 'node:http'
import { type AnswerSlot, isOffline } from '../../policy/answer.ts'
import { reasonForAll } from '../../admin/reason-for-all.ts'
import type { NoClaim } from '../../substituter/substituter.ts'
import type { Answered } from '../../ports/http-meter.ts'
import { headerText, replyText } from '../reply.ts'

/** Clients back off by themselves; this is for those that ask. */
const retryAfterSeconds = '5'

/** How a path without a trusted claim is called in headers and metrics, and what is known of it. */
export type NoClaimReply = Pick<Answered, 'path' | 'upstream' | 'rule' | 'reason'> & {
  readonly result: 'absent' | 'refused' | 'error'
}

/** The reply about a path of which nothing is known but this. */
export function noClaimReply(result: NoClaimReply['result']): NoClaimReply {
  return { result, path: null, upstream: '', rule: null, reason: null }
}

/**
 * Answers for a path that has no trusted claim: 404 only where it is certain, and then with the refusals in words; 503
 * where an upstream could not tell, for a client remembers a 404 for an hour.
 */
export function replyNoClaim(
  response: ServerResponse,
  { kind, slots, suspended }: NoClaim,
): NoClaimReply {
  const said = slots.flatMap(describe).join('; ')
  if (kind === 'unknown') {
    replyUnknown(
      response,
      said === '' ? 'who promises it is down, and its NAR is not stored' : said,
    )
    return noClaimReply('error')
  }
  const refusal = slots.flatMap(({ answer }) => (answer?.kind === 'refused' ? [answer] : []))[0]
  if (refusal === undefined && slots.some(isOffline)) {
    replyText(response, 404, 'this path is not stored, and Weir is offline: it asks nobody', {
      'x-weir-verdict': 'absent',
    })
    return noClaimReply('absent')
  }
  if (refusal === undefined) {
    const unasked =
      suspended.length === 0 ? '' : ` (not asked, since suspended: ${suspended.join(', ')})`
    const headers = { 'x-weir-verdict': 'absent' }
    replyText(response, 404, `no upstream has this path${unasked}`, headers)
    return noClaimReply('absent')
  }
  const { reason, rule } = refusal.verdict
  replyText(response, 404, `refused: ${said}`, {
    'x-weir-verdict': 'refused',
    'x-weir-reason': reason,
    ...(rule === null ? {} : { 'x-weir-rule': headerText(rule.name) }),
  })
  return {
    result: 'refused',
    path: refusal.claim.narinfo.storePath.baseName,
    upstream: refusal.claim.upstream,
    rule: rule?.name ?? null,
    reason,
  }
}

/** Answers that Weir could not tell. */
export function replyUnknown(response: ServerResponse, why: string): void {
  replyText(response, 503, `could not tell: ${why}`, {
    'retry-after': retryAfterSeconds,
    'x-weir-verdict': 'unknown',
  })
}

function describe({ upstream, answer }: AnswerSlot): string[] {
  switch (answer?.kind) {
    case undefined:
    case 'absent':
    case 'trusted':
      return []
    case 'refused': {
      const { reason, rule, block } = answer.verdict
      const why = block === null ? reason : `${reason} (${block.reason})`
      return [rule === null ? `${upstream}: ${why}` : `${upstream}: ${why}, rule "${rule.name}"`]
    }
    case 'unknown':
      return [`${upstream}: ${answer.code}, ${reasonForAll(answer.reason)}`]
  }
}
