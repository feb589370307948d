/** What upstreams answered, and what is decided of it, in a few words. */
import type { Answer, AnswerSlot } from '../../src/policy/answer.ts'
import { candidates } from '../../src/policy/ask-order.ts'
import type { Choice } from '../../src/policy/choose.ts'
import { type Decision, decide } from '../../src/policy/decide.ts'
import type { ExpectedName } from '../../src/policy/names.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { judge } from '../../src/policy/verdict.ts'
import type { Reply } from '../../src/policy/views.ts'
import { claimOf, type Fields } from './claims.ts'

/** What an upstream does when it is asked; one that is not asked yet is `unasked`. */
export type Said = Fields | 'absent' | 'down' | 'awaited' | 'unasked'

export type SaidBy = Readonly<Record<string, Said>>

export function replyOf(upstream: string, said: Fields | 'absent' | 'down'): Reply {
  if (said === 'absent') return { kind: 'absent' }
  if (said === 'down') return { kind: 'unknown', code: 'timeout', reason: 'no answer in time' }
  return { kind: 'claim', claim: claimOf(said, upstream) }
}

export function answerOf(
  policy: Policy,
  upstream: string,
  said: Fields | 'absent' | 'down',
): Answer {
  const reply = replyOf(upstream, said)
  if (reply.kind !== 'claim') return reply
  const { claim } = reply
  const verdict = judge(policy, claim)
  return verdict.kind === 'trusted'
    ? { kind: 'trusted', claim, verdict }
    : { kind: 'refused', claim, verdict }
}

/** A slot for each upstream that the policy would ask; who is not mentioned does not have it. */
export function slotsOf(policy: Policy, saidBy: SaidBy): readonly AnswerSlot[] {
  return candidates(policy).map(({ name, optional }) => {
    const said = saidBy[name] ?? 'absent'
    const isPending = said === 'awaited' || said === 'unasked'
    return {
      upstream: name,
      optional,
      isAsked: said !== 'unasked',
      yields: false,
      isBesides: false,
      answer: isPending ? null : answerOf(policy, name, said),
    }
  })
}

export function decisionOn(
  policy: Policy,
  saidBy: SaidBy,
  expected: ExpectedName | null = null,
): Decision {
  return decide(policy, slotsOf(policy, saidBy), expected)
}

/** `trusted nixos`, `absent`, `unknown`, `wait`. */
export function brief(choice: Choice): string {
  return choice.kind === 'trusted' ? `trusted ${choice.answer.claim.upstream}` : choice.kind
}

/** The choice, or who is to be asked before: `ask nixos acme`. */
export function step({ choice, ask }: Decision): string {
  return ask.length > 0 ? `ask ${ask.join(' ')}` : brief(choice)
}

/** What became of each upstream's answer: `trusted`, why it is refused, or what it is else. */
export function fates({ slots }: Pick<Decision, 'slots'>): Readonly<Record<string, string | null>> {
  return Object.fromEntries(slots.map(({ upstream, answer }) => [upstream, fate(answer)]))
}

function fate(answer: Answer | null): string | null {
  if (answer === null) return null
  return answer.kind === 'refused' ? answer.verdict.reason : answer.kind
}

/** Every order of the things. */
export function permutations<Thing>(things: readonly Thing[]): readonly (readonly Thing[])[] {
  if (things.length === 0) return [[]]
  return things.flatMap((first, at) =>
    permutations(things.toSpliced(at, 1)).map((rest) => [first, ...rest]),
  )
}
