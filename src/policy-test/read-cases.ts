import { z } from 'zod'
import type { Policy } from '../policy/policy.ts'
import type { Place } from '../settings/draft.ts'
import { issueProblems } from '../settings/issue-problems.ts'
import { type JsonSchema, tableKeys } from '../settings/json-schema.ts'
import { formatKeyPath, type KeyPath } from '../settings/key-path.ts'
import { type ConfigFile, readConfigFile } from '../settings/read-config-file.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { caseFileSchema, type PolicyCase } from './case-schema.ts'
import { checkCases } from './check-cases.ts'

/** A case, and where it stands. */
export type PlacedCase = { readonly test: PolicyCase; readonly line: number | null }

/** The cases in a file, for a policy whose upstreams they name; throws SettingsError with all problems at once. */
export async function readCases(path: string, policy: Policy): Promise<readonly PlacedCase[]> {
  const file = await readConfigFile({ path, namedBy: 'the command line' })
  const placeOf = (keyPath: KeyPath): Place => placeIn(file, keyPath)
  const result = caseFileSchema.safeParse(file.document)
  if (!result.success) {
    const schema = z.toJSONSchema(caseFileSchema, { io: 'input' }) as JsonSchema
    const names = {
      keysOf: (keyPath: KeyPath) => tableKeys(schema, keyPath),
      elsewhere: () => null,
    }
    const written = { document: file.document, placeOf }
    throw new SettingsError('invalid', issueProblems(result.error.issues, written, names))
  }
  const cases = result.data.case
  const conflicts = checkCases(cases, policy)
  if (conflicts.length > 0) {
    const problems = conflicts.map(({ path: keyPath, found, allowed, nearest = null }) => ({
      ...placeOf(keyPath),
      ...{ found, allowed, nearest },
    }))
    throw new SettingsError('invalid', problems)
  }
  return cases.map((test, index) => ({ test, line: file.lineOf(['case', index]) }))
}

/** A key that has no line of its own is to blame on what holds it. */
function placeIn({ path: source, lineOf }: ConfigFile, path: KeyPath): Place {
  const key = path.length === 0 ? null : formatKeyPath(path)
  const lines = path.map((_, index) => lineOf(path.slice(0, path.length - index)))
  return { source, key, line: lines.find((line) => line !== null) ?? null }
}
