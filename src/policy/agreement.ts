import type { TrustedAnswer } from './answer.ts'
import { groupEqual } from './equal-claims.ts'

/** What came of asking several builders. */
export type Agreement =
  /** Enough say the same, and nobody else could come to as many. */
  | { readonly kind: 'reached'; readonly members: readonly TrustedAnswer[] }
  /** What is still to come decides. */
  | { readonly kind: 'open' }
  | { readonly kind: 'too-few' }
  /** Two different claims have enough builders each. */
  | { readonly kind: 'split' }

/**
 * The sixth step of the verdict: `agree` distinct upstreams, matched to as many distinct keys, that say the same. A strong content
 * address needs nobody beside it. `awaited` upstreams have not answered yet.
 */
export function agreementOf(
  answers: readonly TrustedAnswer[],
  agree: number,
  awaited: number,
): Agreement {
  const groups = groupEqual(answers)
  const proven = groups.filter((group) => group.some(({ verdict }) => verdict.isNameProven))
  if (proven.length > 0) return { kind: 'reached', members: proven.flat() }
  const [first, second] = groups.filter((group) => builders(group) >= agree)
  if (first === undefined) return { kind: awaited > 0 ? 'open' : 'too-few' }
  if (second !== undefined) return { kind: awaited > 0 ? 'open' : 'split' }
  const others = groups.filter((group) => group !== first)
  const rival = Math.max(0, ...others.map((group) => group.length)) + awaited
  return awaited > 0 && rival >= agree ? { kind: 'open' } : { kind: 'reached', members: first }
}

/**
 * How many independent builders stand behind claims that say the same: the largest matching of upstreams to keys, by their bytes.
 * One builder's signature, handed on by two upstreams, is one.
 */
function builders(group: readonly TrustedAnswer[]): number {
  const keysOf = new Map<string, readonly string[]>()
  for (const { claim, verdict } of group) {
    keysOf.set(
      claim.upstream,
      verdict.keys.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
    )
  }
  const upstreamOf = new Map<string, string>()
  /** Finds a key for the upstream, if need be by finding another one for whoever has it (Kuhn's algorithm). */
  const match = (upstream: string, tried: Set<string>): boolean => {
    for (const key of keysOf.get(upstream) ?? []) {
      if (tried.has(key)) continue
      tried.add(key)
      const holder = upstreamOf.get(key)
      if (holder === undefined || match(holder, tried)) {
        upstreamOf.set(key, upstream)
        return true
      }
    }
    return false
  }
  return [...keysOf.keys()].filter((upstream) => match(upstream, new Set())).length
}
