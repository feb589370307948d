/**
 * Two views of the same answers: what the policy says, and, where it only reports, what is served in the meantime. Where it is
 * enforced both are one.
 */
import { type Answer, type AnswerSlot, refuse, type TrustedAnswer } from './answer.ts'
import type { Claim } from './claim.ts'
import { type Decision, decide, unasked } from './decide.ts'
import { areEqual } from './equal-claims.ts'
import type { ExpectedName } from './names.ts'
import { enforced, plainOrder, type Policy } from './policy.ts'
import { judge, type RefusalReason } from './verdict.ts'

/** What an upstream said of a hash, not judged yet. */
export type Reply =
  | {
      readonly kind: 'claim'
      readonly claim: Claim
      /** Its NAR turned out to be another one than it promises: a content address alone does not vouch for it any more. */
      readonly isRefuted?: boolean
    }
  | Extract<Answer, { kind: 'absent' | 'unknown' }>

/** An upstream's reply, judged in both views; `null` where there is none yet. */
export type JudgedSlot = {
  readonly upstream: string
  readonly optional: boolean
  readonly isAsked: boolean
  /** As in `AnswerSlot`. */
  readonly yields: boolean
  /** As in `AnswerSlot`. */
  readonly isBesides: boolean
  readonly reply: Reply | null
  readonly enforced: Answer | null
  readonly serving: Answer | null
}

export type Views = {
  /** What the policy says. */
  readonly enforced: Decision
  /** What is served. */
  readonly serving: Decision
}

/** The upstreams that may have to be asked, in both views, none asked yet. */
export function unaskedSlots(policy: Policy): readonly JudgedSlot[] {
  const serving = policy.enforce ? enforced(policy) : plainOrder(policy)
  return unasked(serving).map(({ upstream, optional }) => ({
    ...{ upstream, optional },
    ...{ isAsked: false, yields: false, isBesides: false },
    ...{ reply: null, enforced: null, serving: null },
  }))
}

/** A slot with its upstream's reply, judged. */
export function replied(policy: Policy, slot: JudgedSlot, reply: Reply): JudgedSlot {
  const enforcedAnswer = answerTo(enforced(policy), reply)
  return {
    ...slot,
    isAsked: true,
    reply,
    enforced: enforcedAnswer,
    serving: policy.enforce ? enforcedAnswer : answerTo(plainOrder(policy), reply),
  }
}

/** Decides in both views. */
export function decideViews(
  policy: Policy,
  slots: readonly JudgedSlot[],
  expected: ExpectedName | null,
): Views {
  const view = (kind: 'enforced' | 'serving'): readonly AnswerSlot[] =>
    slots.map(({ upstream, optional, isAsked, yields, isBesides, ...answers }) => ({
      ...{ upstream, optional, isAsked, yields, isBesides },
      answer: answers[kind],
    }))
  const decision = decide(enforced(policy), view('enforced'), expected)
  return {
    enforced: decision,
    serving: policy.enforce ? decision : decide(plainOrder(policy), view('serving'), null),
  }
}

/**
 * Whether Weir may sign what it serves. `once-verified`: a content address alone vouches, which a signature does not cover, so that the
 * NAR must have been seen. `never`: the enforced policy does not trust it, or nobody vouches.
 */
export type MaySign = 'always' | 'once-verified' | 'never'

/** Whether Weir may sign an answer that is served: by what vouches for it, and for the same in the enforced policy. */
export function maySign({ enforced: { choice } }: Views, answer: TrustedAnswer): MaySign {
  if (choice.kind !== 'trusted' || !areEqual([choice.answer, answer])) return 'never'
  const vouchers = [answer, choice.answer].map(({ verdict }) => verdict.voucher.kind)
  if (vouchers.includes('insecure')) return 'never'
  return vouchers.includes('content-address') ? 'once-verified' : 'always'
}

/** Why the enforced policy would refuse what is served; `null` where it would not. */
export function wouldRefuse({ enforced }: Views, { claim }: TrustedAnswer): RefusalReason | null {
  const same = enforced.slots.find(({ answer }) => claimOf(answer) === claim)
  return same?.answer?.kind === 'refused' ? same.answer.verdict.reason : null
}

function claimOf(answer: Answer | null): Claim | null {
  return answer !== null && 'claim' in answer ? answer.claim : null
}

function answerTo(policy: Policy, reply: Reply): Answer {
  if (reply.kind !== 'claim') return reply
  const { claim, isRefuted } = reply
  const verdict = judge(policy, claim)
  if (verdict.kind === 'refused') return { kind: 'refused', claim, verdict }
  const answer = { kind: 'trusted' as const, claim, verdict }
  if (isRefuted !== true) return answer
  if (verdict.voucher.kind === 'content-address') return refuse(answer, 'bad-content-address')
  // A signature stands by itself; that its content address stood in for others' is over.
  return { ...answer, verdict: { ...verdict, isNameProven: false } }
}
