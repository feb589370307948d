import { type z } from 'zod'
import { describeFound } from './describe-found.ts'
import { type Draft } from './draft.ts'
import { type KeyPath, valueAt } from './key-path.ts'
import { keysOfTable, listKnownKeys } from './known-keys.ts'
import { nearestName } from './nearest-name.ts'
import { documentSchema, type SettingsDocument } from './schema.ts'
import { type SettingsProblem } from './settings-error.ts'

/** Checks every key by itself: a complete document, or everything that is wrong with it in the order of its lines. */
export function checkDocument(
  draft: Draft,
): { readonly document: SettingsDocument } | { readonly problems: readonly SettingsProblem[] } {
  const result = documentSchema.safeParse(draft.document)
  if (result.success) return { document: result.data }
  const problems = result.error.issues.flatMap((issue) => problemsOf(issue, draft))
  return { problems: problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)) }
}

function problemsOf(issue: z.core.$ZodIssue, draft: Draft): readonly SettingsProblem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey([...path, key], draft))
  }
  const stated: unknown = issue.code === 'custom' ? issue.params?.['found'] : undefined
  const value = valueAt(draft.document, path)
  const found = typeof stated === 'string' ? stated : describeAt(path, value)
  return [{ ...draft.placeOf(path), found, allowed: issue.message, nearest: null }]
}

/** Below `keys` not even a part of a text is repeated: it may be a secret key. */
function describeAt(path: KeyPath, value: unknown): string {
  return typeof value === 'string' && path.includes('keys') ? 'a text' : describeFound(value)
}

function unknownKey(path: KeyPath, draft: Draft): SettingsProblem {
  const name = String(path.at(-1))
  const known = keysOfTable(path.slice(0, -1))
  return {
    ...draft.placeOf(path),
    found: 'an unknown key',
    allowed: known.join(', '),
    nearest: nearestName(name, known) ?? sameNameElsewhere(name),
  }
}

/** For a key in the wrong table: where it would be known. */
function sameNameElsewhere(name: string): string | null {
  const known = listKnownKeys().find(({ path }) => path.length > 1 && path.at(-1) === name)
  return known?.path.join('.') ?? null
}
