import { LRUCache } from 'lru-cache'
import type { StorePathHash } from '../../nix/store-path.ts'
import type { TrustedAnswer } from '../../policy/answer.ts'
import type { ExpectedName } from '../../policy/names.ts'
import { type Policy, rankOf } from '../../policy/policy.ts'

/** The names that trusted claims' references give to hashes: whoever says another name later must be more preferred. */
export type ExpectedNames = {
  /** Notes the references of a claim that is trusted under this policy. */
  note(policy: Policy, answer: TrustedAnswer): void
  expected(hash: StorePathHash): ExpectedName | null
  /** Forgets all: the claims may not be trusted any more. */
  clear(): void
}

/** Some 30 MB at the most; what is forgotten is learnt again with the next claim that refers to it. */
const maxNames = 200_000
/** So that no claim alone makes the others forgotten. */
const maxNamesOfClaim = 2000
/** What an upstream said once does not bind the others for ever. */
const expectedMs = 6 * 60 * 60_000

export function createExpectedNames(): ExpectedNames {
  const names = new LRUCache<StorePathHash, ExpectedName>({ max: maxNames, ttl: expectedMs })
  return {
    note(policy, { claim, verdict }) {
      // Only who signs says something of other paths: anybody can make a content address, with any references.
      if (verdict.voucher.kind !== 'signature') return
      const rank = rankOf(policy, claim.upstream)
      for (const { hash, name } of verdict.narinfo.references.slice(0, maxNamesOfClaim)) {
        if (rank < (names.get(hash)?.rank ?? Infinity)) names.set(hash, { name, rank })
      }
    },
    expected: (hash) => names.get(hash) ?? null,
    clear: () => {
      names.clear()
    },
  }
}
