/**
 * Whether a glob is certain to match every name that another one matches; false also where that is not plain. The
 * other's wildcards are taken as they stand: only a `*` swallows a `*`, and only a wildcard a `?`.
 */
export function coversGlob(glob: string, other: string): boolean {
  const own = inOrder(glob)
  let reached = afterStars(own, [0])
  for (const symbol of inOrder(other)) {
    const next = [...reached].flatMap((at) => {
      const wanted = own[at]
      if (wanted === '*') return [at]
      const fits = symbol !== '*' && (wanted === '?' || wanted === symbol)
      return fits ? [at + 1] : []
    })
    reached = afterStars(own, next)
  }
  return reached.has(own.length)
}

/** Where matching may go on: a `*` may also stand for nothing. */
function afterStars(glob: string, places: readonly number[]): ReadonlySet<number> {
  const all = new Set(places)
  // What is added while a set is walked through is walked through as well.
  for (const at of all) if (glob[at] === '*') all.add(at + 1)
  return all
}

/** The same glob with the wildcards of each row in one order: `*?` and `?*` match the same. */
function inOrder(glob: string): string {
  return glob.replaceAll(
    /[*?]+/g,
    (row) => row.replaceAll('*', '') + (row.includes('*') ? '*' : ''),
  )
}
