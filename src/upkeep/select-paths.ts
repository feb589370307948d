import { matchesGlob } from '../policy/glob.ts'

/** Globs over `<hash>-<name>` or the name alone; none selects everything. */
export type PathSelection = readonly string[]

const hashLength = 32

/** Whether a path, as `<hash>-<name>`, is selected: by a glob of either form, or by its hash. */
export function selects(selection: PathSelection, baseName: string): boolean {
  if (selection.length === 0) return true
  const name = baseName.slice(hashLength + 1)
  const hash = baseName.slice(0, hashLength)
  return selection.some(
    (glob) => glob === hash || matchesGlob(glob, baseName) || matchesGlob(glob, name),
  )
}
