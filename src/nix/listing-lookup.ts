/** Finding a file in a listing (`nar-listing.ts`), along the symlinks that stay inside of the store path. */

/** A node of a listing, as its JSON has it. */
export type ListingNode =
  | {
      readonly type: 'regular'
      /** Bytes. */
      readonly size: number
      readonly executable?: boolean
      readonly narOffset: number
    }
  | { readonly type: 'directory'; readonly entries: Readonly<Record<string, ListingNode>> }
  | { readonly type: 'symlink'; readonly target: string }

export type Lookup =
  /** `path` is where the node is, symlinks resolved; empty for the root. */
  | { readonly kind: 'found'; readonly node: ListingNode; readonly path: readonly string[] }
  /** The directory at `path` has no such name, only `names`. */
  | {
      readonly kind: 'missing'
      readonly path: readonly string[]
      readonly name: string
      readonly names: readonly string[]
    }
  /** The file at `path` has nothing below it. */
  | { readonly kind: 'not-a-directory'; readonly path: readonly string[] }
  /** The symlink at `path` leads out of the store path: to `target`, as it is written. */
  | { readonly kind: 'outside'; readonly path: readonly string[]; readonly target: string }
  /** Symlinks lead to each other, or are too many. */
  | { readonly kind: 'endless'; readonly path: readonly string[] }

export type LookupOptions = {
  /** The full store path: an absolute link below it stays inside. */
  readonly storePath: string
  /** What becomes of a symlink that is the last of the names. */
  readonly last: 'follow' | 'stay'
}

/** As many symlinks as Linux follows. */
const maxLinks = 40

/** The root of a listing that Weir made. */
export function parseNarListing(listing: Uint8Array): ListingNode {
  const text = new TextDecoder().decode(listing)
  return (JSON.parse(text) as { readonly root: ListingNode }).root
}

/** Goes from the root along names; `.` and empty ones stay where they are, `..` goes up. */
export function lookUp(
  root: ListingNode,
  names: readonly string[],
  { storePath, last }: LookupOptions,
): Lookup {
  const left = [...names]
  const at: Place[] = [{ name: '', node: root }]
  let leading: { readonly path: readonly string[]; readonly target: string } = {
    path: [],
    target: names.join('/'),
  }
  for (let links = 0; ;) {
    const { node } = at.at(-1) ?? { node: root }
    const path = at.slice(1).map(({ name }) => name)
    if (node.type === 'symlink' && (left.length > 0 || last === 'follow')) {
      links += 1
      if (links > maxLinks) return { kind: 'endless', path }
      leading = { path, target: node.target }
      const steps = stepsOf(node.target, storePath)
      // The root itself, where it is a link, lies in the store: whatever it names beside it is another path.
      if (steps === null || (path.length === 0 && !isAbsolute(node.target))) {
        return { kind: 'outside', ...leading }
      }
      at.length = isAbsolute(node.target) ? 1 : at.length - 1
      left.unshift(...steps)
      continue
    }
    const name = left.shift()
    if (name === undefined) return { kind: 'found', node, path }
    if (node.type !== 'directory') return { kind: 'not-a-directory', path }
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (path.length === 0) return { kind: 'outside', ...leading }
      at.pop()
      continue
    }
    const next = Object.hasOwn(node.entries, name) ? node.entries[name] : undefined
    if (next === undefined) return { kind: 'missing', path, name, names: Object.keys(node.entries) }
    at.push({ name, node: next })
  }
}

type Place = { readonly name: string; readonly node: ListingNode }

/** The names that a link leads along, from its folder or, where absolute, from the root; `null` where it leads elsewhere. */
function stepsOf(target: string, storePath: string): readonly string[] | null {
  if (!isAbsolute(target)) return target.split('/')
  if (target !== storePath && !target.startsWith(`${storePath}/`)) return null
  return target.slice(storePath.length).split('/')
}

function isAbsolute(target: string): boolean {
  return target.startsWith('/')
}
