/**
 * The file of pins:
 *
 *     { "version": 1, "pins": [{ "path": "<hash>-<name>", "sinceMs": 1750000000000, "closure": ["<hash>", …], "unresolved": ["<hash>", …] }] }
 *
 * with nothing else in it, and each path once. `closure` has the path's own hash and those of all that it refers to, as far as that is known:
 * what an `unresolved` one of them refers to is not. No file means that nothing is pinned; an empty or damaged one does not.
 */
import { z } from 'zod'
import { parseBaseName, parseStorePathHash, type StorePathHash } from '../nix/store-path.ts'
import { readStateFile } from './read-state-file.ts'
import { StateFileError } from './state-file-error.ts'

/** A path that is kept with its closure. */
export type Pin = {
  /** `<hash>-<name>` */
  readonly path: string
  readonly hash: StorePathHash
  readonly sinceMs: number
  readonly closure: readonly StorePathHash[]
  /** Those of the closure of which it is not known what they refer to. */
  readonly unresolved: readonly StorePathHash[]
}

const hashes = z.array(
  z.string().transform((text, context) => {
    const hash = parseStorePathHash(text)
    if (hash !== null) return hash
    context.addIssue({ code: 'custom', message: 'no hash of a store path' })
    return z.NEVER
  }),
)

const pin = z
  .strictObject({ path: z.string(), sinceMs: z.number(), closure: hashes, unresolved: hashes })
  .transform((written, context): Pin => {
    const path = parseBaseName(written.path)
    if (path !== null) return { ...written, hash: path.hash }
    context.addIssue({ code: 'custom', message: 'no base name of a store path' })
    return z.NEVER
  })

const fileSchema = z.strictObject({
  version: z.literal(1),
  pins: z.array(pin).refine((list) => new Set(list.map(({ path }) => path)).size === list.length),
})

/** The pins in a file, none where there is no such file. Throws a StateFileError where it cannot be read or understood. */
export async function readPins(file: string): Promise<readonly Pin[]> {
  const text = await readStateFile(file)
  if (text === null) return []
  try {
    return fileSchema.parse(JSON.parse(text)).pins
  } catch (cause) {
    throw new StateFileError(
      `${file} is not a list of pins that this Weir understands: restore it from a backup; to remove it lets go of everything that was pinned`,
      { cause },
    )
  }
}

/** The text of a file of pins: one a line, since closures are long. */
export function formatPins(pins: readonly Pin[]): string {
  const lines = pins.map(({ path, sinceMs, closure, unresolved }) =>
    JSON.stringify({ path, sinceMs, closure, unresolved }),
  )
  return `{"version":1,"pins":[\n${lines.join(',\n')}\n]}\n`
}
