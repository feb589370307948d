/** One value for each of some labels, in their order. */
export type LabelValues<Names extends readonly string[]> = {
  readonly [Index in keyof Names]: string
}

/** What was counted of some values of the labels. */
export type LabelEntry<Leaf> = {
  readonly labels: Readonly<Record<string, string>>
  readonly leaf: Leaf
}

/** What is counted by labels, whose values are of finite sets. */
export type LabelTree<Names extends readonly string[], Leaf> = {
  /** The leaf of these values; a new one where there was none. */
  at(values: LabelValues<Names>): Leaf
  /** All leaves, in the order in which they came. */
  entries(): readonly LabelEntry<Leaf>[]
}

type Node<Leaf> = { leaf: Leaf | null; readonly below: Map<string, Node<Leaf>> }

/**
 * A tree with a level for each label: a leaf is found by one lookup a label, and the hashes of the values are those that the engine keeps.
 * Names of labels and values together would be put into one text and hashed for every event.
 */
export function createLabelTree<const Names extends readonly string[], Leaf extends object>(
  names: Names,
  makeLeaf: () => Leaf,
): LabelTree<Names, Leaf> {
  const root: Node<Leaf> = { leaf: null, below: new Map() }
  const entries: LabelEntry<Leaf>[] = []
  const begin = (values: readonly string[]): Leaf => {
    const leaf = makeLeaf()
    entries.push({
      labels: Object.fromEntries(names.map((name, index) => [name, values[index] ?? ''])),
      leaf,
    })
    return leaf
  }
  return {
    at(values) {
      let node = root
      for (const value of values) {
        let next = node.below.get(value)
        if (next === undefined) {
          next = { leaf: null, below: new Map() }
          node.below.set(value, next)
        }
        node = next
      }
      node.leaf ??= begin(values)
      return node.leaf
    },
    entries: () => entries,
  }
}
