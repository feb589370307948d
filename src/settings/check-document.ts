import { type Draft } from './draft.ts'
import { issueProblems } from './issue-problems.ts'
import { keysOfTable, listKnownKeys } from './known-keys.ts'
import { documentSchema, type SettingsDocument } from './schema.ts'
import { type SettingsProblem } from './settings-error.ts'

/** Checks every key by itself: a complete document, or everything that is wrong with it in the order of its lines. */
export function checkDocument(
  draft: Draft,
): { readonly document: SettingsDocument } | { readonly problems: readonly SettingsProblem[] } {
  const result = documentSchema.safeParse(draft.document)
  if (result.success) return { document: result.data }
  const names = { keysOf: keysOfTable, elsewhere: sameNameElsewhere }
  return { problems: issueProblems(result.error.issues, draft, names) }
}

/** For a key in the wrong table: where it would be known. */
function sameNameElsewhere(name: string): string | null {
  const known = listKnownKeys().find(({ path }) => path.length > 1 && path.at(-1) === name)
  return known?.path.join('.') ?? null
}
