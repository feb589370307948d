import type { z } from 'zod'
import { describeFound } from './describe-found.ts'
import type { Draft } from './draft.ts'
import { inRule } from './in-rule.ts'
import { type KeyPath, valueAt } from './key-path.ts'
import { nearestName } from './nearest-name.ts'
import { type SettingsProblem } from './settings-error.ts'

/** What was checked, and where each of its values was written. */
export type Written = Pick<Draft, 'document' | 'placeOf'>

/** What may stand where, for the words about a key that may not. */
export type KnownNames = {
  readonly keysOf: (path: KeyPath) => readonly string[]
  /** Where a key of that name would be known; null for nowhere. */
  readonly elsewhere: (name: string) => string | null
}

/** A schema's issues as problems, in the order of their lines. */
export function issueProblems(
  issues: readonly z.core.$ZodIssue[],
  written: Written,
  names: KnownNames,
): readonly SettingsProblem[] {
  return issues
    .flatMap((issue) => problemsOf(issue, written, names))
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0))
}

function problemsOf(
  issue: z.core.$ZodIssue,
  { document, placeOf }: Written,
  names: KnownNames,
): readonly SettingsProblem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      ...placeOf([...path, key]),
      found: inRule('an unknown key', path, document),
      ...wordsOnUnknownKey(key, path, names),
    }))
  }
  const stated: unknown = issue.code === 'custom' ? issue.params?.['found'] : undefined
  const found = typeof stated === 'string' ? stated : describeAt(path, valueAt(document, path))
  return [
    {
      ...placeOf(path),
      found: inRule(found, path, document),
      allowed: issue.message,
      nearest: null,
    },
  ]
}

/** Below `keys` not even a part of a text is repeated: it may be a secret key. */
function describeAt(path: KeyPath, value: unknown): string {
  return typeof value === 'string' && path.includes('keys') ? 'a text' : describeFound(value)
}

function wordsOnUnknownKey(name: string, table: KeyPath, { keysOf, elsewhere }: KnownNames) {
  const known = keysOf(table)
  return { allowed: known.join(', '), nearest: nearestName(name, known) ?? elsewhere(name) }
}
