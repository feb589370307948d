import { isSameFile, isSameNar, type NarFileKey } from '../../nix/nar-key.ts'
import type { Policy } from '../../policy/policy.ts'
import type { TrustedAnswers } from '../finding/claims-for.ts'
import type { StoredSource } from '../fetching/convert-stored.ts'
import type { PathFinder } from '../finding/find-path.ts'
import { mayStandIn } from '../finding/may-stand-in.ts'
import { judgeStored, type StoredAnswer } from '../finding/stored-answers.ts'

export type StoredNarDeps = {
  readonly policy: () => Policy
  readonly finder: Pick<PathFinder, 'records' | 'names' | 'known' | 'fruitless'>
}

/** What is stored of a NAR under claims that are trusted now. */
export type Stored = TrustedAnswers & {
  /** The file that a key names, and one in another compression. */
  readonly exact: StoredAnswer | null
  readonly other: StoredAnswer | null
  /** What is trusted of the NAR at the time of the call. */
  readonly all: () => readonly StoredAnswer[]
}

/** Judges what is stored of a NAR by the policy of now. */
export async function storedNar(deps: StoredNarDeps, key: NarFileKey): Promise<Stored> {
  const { finder, policy } = deps
  const records = await finder.records(key.storePathHash)
  const all = (): readonly StoredAnswer[] =>
    judgeStored(policy(), records, finder.names.expected(key.storePathHash)).filter(({ stored }) =>
      isSameNar(stored.key, key),
    )
  const found = all().filter((each) => !isContradicted(deps, each))
  return {
    all,
    exact: found.find(({ stored }) => isSameFile(stored.key, key)) ?? null,
    other: found.find(({ stored }) => !isSameFile(stored.key, key)) ?? null,
    trusted: () => all().map(({ answer }) => answer),
  }
}

/** A stored file to make another representation of. */
export function sourceIn({ all, trusted }: Stored, answer: StoredAnswer): StoredSource {
  const { key } = answer.stored
  const now = (): StoredAnswer | null =>
    all().find(({ stored }) => isSameFile(stored.key, key)) ?? null
  return { answer, now, trusted }
}

/**
 * Whether a record that was not certain must not be served from: what the upstreams said lately contradicts it, as far as that is
 * remembered, or the rule wants everybody's word and nobody was asked.
 */
export function isContradicted(
  { policy, finder }: Pick<StoredNarDeps, 'policy' | 'finder'>,
  found: StoredAnswer,
): boolean {
  const { certainIn, key } = found.stored
  const needsEverybody = found.answer.verdict.rule?.onDivergence === 'refuse'
  if (certainIn === policy().choiceEpoch) return false
  const inquiry = finder.known(key.storePathHash) ?? finder.fruitless(key.storePathHash)
  if (inquiry === null || inquiry.views.serving.choice.kind === 'wait') return needsEverybody
  return inquiry.trusted().length === 0 && !mayStandIn(found, inquiry)
}
