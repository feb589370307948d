import { formatContentAddress } from '../nix/content-address.ts'
import { formatHash } from '../nix/hash.ts'
import type { Narinfo } from '../nix/narinfo.ts'
import type { TrustedAnswer } from './answer.ts'

/**
 * Trusted claims that say the same: full StorePath, NarHash, NarSize, set of references, and CA where both have one. A group that
 * leaves out the CA goes with each that names one, so that a claim can be in several groups.
 */
export function groupEqual(
  answers: readonly TrustedAnswer[],
): readonly (readonly TrustedAnswer[])[] {
  const alike = Map.groupBy(answers, ({ verdict }) => contentOf(verdict.narinfo))
  return [...alike.values()].flatMap((group) => byContentAddress(group))
}

/** Whether all of them say the same. */
export function areEqual(answers: readonly TrustedAnswer[]): boolean {
  return groupEqual(answers).length <= 1
}

/** What a claim says of its path, in one text: equal for equal claims, but for their CA. */
function contentOf({ storePath, narHash, narSize, references }: Narinfo): string {
  const names = [...new Set(references.map(({ baseName }) => baseName))].sort()
  return [storePath.baseName, formatHash(narHash), narSize, ...names].join(' ')
}

function byContentAddress(group: readonly TrustedAnswer[]): readonly (readonly TrustedAnswer[])[] {
  const caOf = ({ verdict }: TrustedAnswer): string | null =>
    verdict.narinfo.ca === null ? null : formatContentAddress(verdict.narinfo.ca)
  const addresses = [...new Set(group.map(caOf))].filter((ca) => ca !== null)
  if (addresses.length <= 1) return [group]
  return addresses.map((ca) => group.filter((answer) => [null, ca].includes(caOf(answer))))
}
