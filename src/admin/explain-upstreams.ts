import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import type { Answer, AnswerSlot } from '../policy/answer.ts'
import { candidates } from '../policy/ask-order.ts'
import type { Policy } from '../policy/policy.ts'
import type { ExplainedClaim, ExplainedUpstream } from './explanation.ts'

/** What each upstream said, and who was not asked. */
export function explainUpstreams(
  policy: Policy,
  slots: readonly AnswerSlot[],
): readonly ExplainedUpstream[] {
  const asked = slots.map(explainSlot)
  const others = candidates(policy)
    .map(({ name }) => name)
    .filter((name) => !asked.some(({ upstream }) => upstream === name))
  const suspended = [...policy.suspended].filter(
    (name) => !asked.some(({ upstream }) => upstream === name),
  )
  const unasked = (upstream: string, reason: string | null): ExplainedUpstream => ({
    ...{ upstream, reason },
    answer: 'not-asked',
    claim: null,
  })
  return [
    ...asked,
    ...others.map((name) => unasked(name, null)),
    ...suspended.map((name) => unasked(name, 'suspended')),
  ]
}

function explainSlot({ upstream, isAsked, answer }: AnswerSlot): ExplainedUpstream {
  if (answer === null) {
    return { upstream, answer: isAsked ? 'awaited' : 'not-asked', reason: null, claim: null }
  }
  switch (answer.kind) {
    case 'absent':
      return { upstream, answer: 'absent', reason: null, claim: null }
    case 'unknown':
      return {
        upstream,
        answer: 'unknown',
        reason: `${answer.code}, ${answer.reason}`,
        claim: null,
      }
    case 'trusted':
      return { upstream, answer: 'trusted', reason: null, claim: explainClaim(answer) }
    case 'refused': {
      const { reason, block } = answer.verdict
      const why = block === null ? reason : `${reason}: ${block.reason}`
      return { upstream, answer: 'refused', reason: why, claim: explainClaim(answer) }
    }
  }
}

function explainClaim({
  claim: { narinfo },
  verdict,
}: Extract<Answer, { kind: 'trusted' | 'refused' }>): ExplainedClaim {
  return {
    path: narinfo.storePath.baseName,
    narHash: formatHash(narinfo.narHash),
    narSize: narinfo.narSize.toString(),
    references: narinfo.references.length,
    ca: narinfo.ca === null ? null : formatContentAddress(narinfo.ca),
    rule: verdict.rule?.name ?? null,
    voucher: verdict.kind === 'trusted' ? verdict.voucher : null,
    signatures: verdict.evidence,
  }
}
