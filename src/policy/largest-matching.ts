/**
 * How many of some parties can each be given a thing of their own, of those that it may have: the size of a largest
 * matching (Kuhn's algorithm).
 */
export function largestMatching(choices: readonly ReadonlySet<string>[]): number {
  const owners = new Map<string, number>()
  let matched = 0
  for (const party of choices.keys()) if (settle(party, choices, owners, new Set())) matched++
  return matched
}

/** Finds a thing for a party, where need be by moving the owners of others on to further ones. */
function settle(
  party: number,
  choices: readonly ReadonlySet<string>[],
  owners: Map<string, number>,
  tried: Set<string>,
): boolean {
  for (const thing of choices[party] ?? []) {
    if (tried.has(thing)) continue
    tried.add(thing)
    const owner = owners.get(thing)
    if (owner === undefined || settle(owner, choices, owners, tried)) {
      owners.set(thing, party)
      return true
    }
  }
  return false
}
