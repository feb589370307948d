/**
 * Whether a glob is certain to match every name that another one matches; false also where that is not plain. The
 * other's wildcards are taken as they stand: only a `*` swallows a `*`, and only a wildcard a `?`. Otherwise it is how
 * a glob is matched with a name, stretching the last `*` where need be.
 */
export function coversGlob(glob: string, other: string): boolean {
  const own = inOrder(glob)
  const symbols = inOrder(other)
  let at = 0
  let ownAt = 0
  /** Where the last `*` stands, and how far it has been stretched. */
  let star = -1
  let stretched = 0
  while (at < symbols.length) {
    const wanted = own[ownAt]
    const symbol = symbols[at]
    if (wanted === '*') {
      star = ownAt
      stretched = at
      ownAt += 1
    } else if (symbol !== '*' && wanted !== undefined && (wanted === '?' || wanted === symbol)) {
      at += 1
      ownAt += 1
    } else if (star >= 0) {
      stretched += 1
      at = stretched
      ownAt = star + 1
    } else {
      return false
    }
  }
  return own.slice(ownAt) === '' || own.slice(ownAt) === '*'
}

/** The same glob with the wildcards of each row in one order: `*?` and `?*` match the same. */
function inOrder(glob: string): string {
  if (!/[*?]{2}/.test(glob)) return glob
  return glob.replaceAll(
    /[*?]+/g,
    (row) => row.replaceAll('*', '') + (row.includes('*') ? '*' : ''),
  )
}
