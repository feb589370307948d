/**
 * A request carries only a hash; the name comes with the claim, and rules go by name. The hash covers the name: two signed names for
 * one hash prove that one of them is a lie (trust.md, "Names can lie").
 */
import { type AnswerSlot, refuseWhere, type TrustedAnswer, trustedAnswers } from './answer.ts'
import type { Claim } from './claim.ts'
import { type Policy, rankOf } from './policy.ts'
import { maySpeakFor } from './verdict.ts'

/** The name that the references of a trusted claim expect of a hash, and where the upstream of that claim stands. */
export type ExpectedName = { readonly name: string; readonly rank: number }

/** A signed name that contradicts a better one: a proof, so that its upstream is suspended. */
export type Lie = {
  readonly upstream: string
  readonly claimed: string
  readonly truth: string
  /** The upstream that says the truth. */
  readonly by: string
  /**
   * Whether the upstream is to be suspended: a content address proves the truth, or who says it may speak for the other name too. Else a
   * preferred upstream could have another one suspended by contradicting names that are not its own.
   */
  readonly isPunished: boolean
}

/**
 * Refuses the claims whose names cannot stand beside others': a name that is proved by a content address beats any, then come what
 * better upstreams' references expect, then the most preferred trusted claim. What remains trusted has one name.
 */
export function settleNames(
  policy: Policy,
  slots: readonly AnswerSlot[],
  expected: ExpectedName | null,
): { readonly slots: readonly AnswerSlot[]; readonly lies: readonly Lie[] } {
  const proof = slots.flatMap(({ answer }) =>
    answer !== null && 'verdict' in answer && answer.verdict.isNameProven ? [answer.claim] : [],
  )[0]
  if (proof !== undefined)
    return contradict(policy, slots, proof, () => true, { isProof: true, isCertain: true })
  const plausible = refuseWhere(slots, 'unexpected-name', ({ claim }) =>
    isUnexpected(policy, claim, expected),
  )
  const best = mostPreferred(policy, trustedAnswers(plausible))
  if (best === null) return { slots: plausible, lies: [] }
  const rank = rankOf(policy, best.claim.upstream)
  // Stored claims may hold two names that one upstream gave: they cannot both stand.
  const isNoBetter = ({ upstream }: Claim): boolean => rankOf(policy, upstream) >= rank
  const isProof = best.verdict.voucher.kind === 'signature'
  return contradict(policy, plausible, best.claim, isNoBetter, { isProof, isCertain: false })
}

/** Holds one claim's name against the others that `loses` says must give way to it. */
function contradict(
  policy: Policy,
  slots: readonly AnswerSlot[],
  truth: Claim,
  loses: (claim: Claim) => boolean,
  { isProof, isCertain }: { readonly isProof: boolean; readonly isCertain: boolean },
): { readonly slots: readonly AnswerSlot[]; readonly lies: readonly Lie[] } {
  const contradicts = (claim: Claim): boolean => nameOf(claim) !== nameOf(truth) && loses(claim)
  const lies = slots.flatMap(({ upstream, answer }) => {
    if (!isProof || answer === null || !('verdict' in answer)) return []
    if (!answer.verdict.isSignedByUpstream || !contradicts(answer.claim)) return []
    const claimed = nameOf(answer.claim)
    const isPunished = isCertain || maySpeakFor(policy, truth.upstream, claimed)
    return [{ upstream, claimed, truth: nameOf(truth), by: truth.upstream, isPunished }]
  })
  return { slots: refuseWhere(slots, 'name-conflict', ({ claim }) => contradicts(claim)), lies }
}

function isUnexpected(policy: Policy, claim: Claim, expected: ExpectedName | null): boolean {
  if (expected === null || expected.name === nameOf(claim)) return false
  return expected.rank <= rankOf(policy, claim.upstream)
}

function mostPreferred(policy: Policy, answers: readonly TrustedAnswer[]): TrustedAnswer | null {
  const rank = ({ claim }: TrustedAnswer): number => rankOf(policy, claim.upstream)
  return answers.toSorted((one, other) => rank(one) - rank(other))[0] ?? null
}

function nameOf({ narinfo }: Claim): string {
  return narinfo.storePath.name
}
