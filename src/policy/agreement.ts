import type { PublicKey } from '../nix/signature.ts'
import type { TrustedAnswer } from './answer.ts'
import { groupEqual } from './equal-claims.ts'
import { largestMatching } from './largest-matching.ts'
import type { Policy } from './policy.ts'

/** What came of asking several builders. */
export type Agreement =
  /**
   * Enough say the same, and nobody else could come to as many. Or a content address needs nobody: then it is all that vouches, and
   * what the claims say beyond it (NarHash, NarSize) is not proved before the NAR was seen.
   */
  | {
      readonly kind: 'reached'
      readonly members: readonly TrustedAnswer[]
      readonly isByContentAddress: boolean
    }
  /** What is still to come decides. */
  | { readonly kind: 'open' }
  | { readonly kind: 'too-few' }
  /** Two different claims have enough builders each. */
  | { readonly kind: 'split' }

/**
 * The sixth step of the verdict: `agree` distinct upstreams, matched to as many distinct keys, that say the same. Where they do not, a
 * strong content address stands by itself. `awaited` upstreams have not answered yet.
 */
export function agreementOf(
  policy: Policy,
  answers: readonly TrustedAnswer[],
  agree: number,
  awaited: number,
): Agreement {
  const groups = groupEqual(answers)
  const sizes = groups.map((group) => group.length)
  const [first, second] = groups.filter((group) => builders(policy, group) >= agree)
  if (second !== undefined) return { kind: awaited > 0 ? 'open' : 'split' }
  if (first !== undefined) {
    const others = groups.filter((group) => group !== first).map((group) => group.length)
    const rival = Math.max(0, ...others) + awaited
    if (awaited > 0 && rival >= agree) return { kind: 'open' }
    return { kind: 'reached', members: first, isByContentAddress: false }
  }
  if (awaited > 0 && Math.max(0, ...sizes) + awaited >= agree) return { kind: 'open' }
  const proven = groups.filter((group) => group.some(({ verdict }) => verdict.isNameProven))
  if (proven.length > 0) {
    return { kind: 'reached', members: proven.flat(), isByContentAddress: true }
  }
  return { kind: awaited > 0 ? 'open' : 'too-few' }
}

/**
 * How many independent builders stand behind claims that say the same: the largest matching of upstreams to keys, by their bytes.
 * One builder's signature, handed on by two upstreams, is one; and upstreams with the same keys, mirrors of each other, are one.
 */
function builders(policy: Policy, group: readonly TrustedAnswer[]): number {
  const keysOf = new Map<string, readonly string[]>()
  for (const { claim, verdict } of group) {
    const { keys: own = [] } = policy.upstreams.find(({ name }) => name === claim.upstream) ?? {}
    const party = partyOf(claim.upstream, own)
    const keys = verdict.keys.map(({ bytes }) => Buffer.from(bytes).toString('hex'))
    keysOf.set(party, [...(keysOf.get(party) ?? []), ...keys])
  }
  return largestMatching([...keysOf.values()].map((keys) => new Set(keys)))
}

/**
 * Who answers for an upstream, by the bytes of its keys: mirrors of each other, which have the same, are one. An upstream without keys is on
 * its own.
 */
export function partyOf(upstream: string, keys: readonly PublicKey[]): string {
  const bytes = keys.map((key) => Buffer.from(key.bytes).toString('hex')).sort()
  return bytes.length === 0 ? upstream : bytes.join(' ')
}
