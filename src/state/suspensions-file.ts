/**
 * The file of suspensions:
 *
 *     { "version": 1, "suspended": [{ "upstream": "acme", "sinceMs": 1750000000000, "why": "…" }] }
 *
 * with nothing else in it, and each upstream once. No file means that nothing is suspended; an empty or damaged one does not.
 */
import { z } from 'zod'
import { readStateFile } from './read-state-file.ts'
import { StateFileError } from './state-file-error.ts'

/** An upstream that is not trusted, whatever the configuration says. */
export type Suspension = {
  readonly upstream: string
  readonly sinceMs: number
  /** In words, for people. */
  readonly why: string
}

const fileSchema = z.strictObject({
  version: z.literal(1),
  suspended: z
    .array(z.strictObject({ upstream: z.string(), sinceMs: z.number(), why: z.string() }))
    .refine((list) => new Set(list.map(({ upstream }) => upstream)).size === list.length),
})

/** The suspensions in a file, none where there is no such file. Throws a StateFileError where it cannot be read or understood. */
export async function readSuspensions(file: string): Promise<readonly Suspension[]> {
  const text = await readStateFile(file)
  if (text === null) return []
  try {
    return fileSchema.parse(JSON.parse(text)).suspended
  } catch (cause) {
    throw new StateFileError(
      `${file} is not a list of suspended upstreams that this Weir understands: restore it from a backup; to remove it clears every upstream that was caught lying`,
      { cause },
    )
  }
}

/** The text of a file of suspensions. */
export function formatSuspensions(suspended: readonly Suspension[]): string {
  return `${JSON.stringify({ version: 1, suspended }, null, 2)}\n`
}
