/**
 * Whether a glob matches a whole name: `*` stands for any characters, `?` for one; everything else stands for itself. Takes at most
 * the product of both lengths, whatever they hold.
 */
export function matchesGlob(glob: string, name: string): boolean {
  let at = 0
  let globAt = 0
  /** Where the last `*` stands, and how far it has been stretched. */
  let star = -1
  let stretched = 0
  while (at < name.length) {
    const wanted = glob[globAt]
    if (wanted === '*') {
      star = globAt
      stretched = at
      globAt += 1
    } else if (wanted === '?' || (wanted !== undefined && wanted === name[at])) {
      at += 1
      globAt += 1
    } else if (star >= 0) {
      stretched += 1
      at = stretched
      globAt = star + 1
    } else {
      return false
    }
  }
  return /^\**$/.test(glob.slice(globAt))
}
