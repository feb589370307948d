import { isSameNar } from '../../nix/nar-key.ts'
import { type TrustedAnswer, trustedAnswers } from '../../policy/answer.ts'
import { areEqual } from '../../policy/equal-claims.ts'
import { readClaim } from '../../policy/claim.ts'
import type { ExpectedName } from '../../policy/names.ts'
import type { Policy } from '../../policy/policy.ts'
import type { RefusalReason } from '../../policy/verdict.ts'
import {
  decideViews,
  type JudgedSlot,
  maySign,
  type MaySign,
  replied,
  type Views,
  wouldRefuse,
} from '../../policy/views.ts'
import type { StoredClaim, StoredNar } from '../../ports/catalog.ts'
import { narKeyOf } from './render-narinfo.ts'
import { wasHeldAgainst } from './stored-record.ts'

/** A NAR in the store whose claims the policy trusts now. */
export type StoredAnswer = {
  readonly answer: TrustedAnswer
  readonly maySign: MaySign
  /** The trusted answers that say the same, itself among them. */
  readonly agreeing: readonly TrustedAnswer[]
  /** Report only: why the enforced policy would refuse it. */
  readonly wouldRefuse: RefusalReason | null
  readonly stored: StoredNar
}

/**
 * The stored NARs of one path that a policy trusts, the chosen one first: judged again, from the signatures that were kept with
 * them. Every claim counts for what it was: an upstream's word at that time.
 */
export function judgeStored(
  policy: Policy,
  found: readonly StoredNar[],
  expected: ExpectedName | null,
): readonly StoredAnswer[] {
  const views = viewsOfStored(policy, found, expected)
  const { choice, slots } = views.serving
  if (choice.kind !== 'trusted') return []
  const answers = found.flatMap((stored) => {
    const trusted = slots.find(
      ({ answer }) => answer?.kind === 'trusted' && speaksOf(answer, stored),
    )
    if (trusted?.answer?.kind !== 'trusted') return []
    const { answer } = trusted
    return [
      {
        answer,
        maySign: isDecided(policy, stored) ? maySign(views, answer) : 'never',
        agreeing: trustedAnswers(slots).filter((other) => areEqual([answer, other])),
        wouldRefuse: wouldRefuse(views, answer),
        stored,
      },
    ]
  })
  const isChosen = ({ stored }: StoredAnswer): boolean => speaksOf(choice.answer, stored)
  return answers.toSorted((one, other) => Number(isChosen(other)) - Number(isChosen(one)))
}

/** What a policy makes of what is stored of one path. */
export function viewsOfStored(
  policy: Policy,
  found: readonly StoredNar[],
  expected: ExpectedName | null,
): Views {
  const slots = found.flatMap((stored) =>
    [stored, ...stored.witnesses].flatMap((claim) => slotOf(policy, stored, claim) ?? []),
  )
  return decideViews(policy, slots, expected)
}

/** In report only, what the policy would say is known of no record that was not certain: it wants everybody's word. */
function isDecided({ enforce, choiceEpoch }: Policy, { certainIn }: StoredNar): boolean {
  return enforce || certainIn === choiceEpoch
}

function slotOf(policy: Policy, stored: StoredNar, said: StoredClaim): JudgedSlot | null {
  const reading = readClaim(policy, said.upstream, stored.key.storePathHash, said.claim)
  if (reading.kind === 'malformed') return null
  if (!isSameNar(narKeyOf(reading.claim.narinfo), stored.key)) return null
  const slot: JudgedSlot = {
    ...{ upstream: said.upstream, optional: false, isAsked: true, yields: false },
    ...{ isBesides: false, reply: null, enforced: null, serving: null },
  }
  const judged = replied(policy, slot, reading)
  // What promises a content address that the file was not held against speaks of a file that nobody has seen.
  const isSeen = [judged.enforced, judged.serving].every(
    (answer) => answer?.kind !== 'trusted' || wasHeldAgainst(answer, stored.verifiedCa),
  )
  return isSeen ? judged : null
}

function speaksOf({ verdict }: TrustedAnswer, { key }: StoredNar): boolean {
  return isSameNar(narKeyOf(verdict.narinfo), key)
}
