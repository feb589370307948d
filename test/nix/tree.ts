/** An independent NAR writer for tests: trees as plain values, serialised whole and without any regard for speed. */
import { Buffer } from 'node:buffer'

/** A file, symlink or directory; entries are sorted by the writer. */
export type Tree =
  | { readonly type: 'regular'; readonly contents: Uint8Array; readonly executable: boolean }
  | { readonly type: 'symlink'; readonly target: string }
  | { readonly type: 'directory'; readonly entries: readonly (readonly [string, Tree])[] }

/** A string of a NAR: length, bytes, padding. */
export function narString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(bytes.length))
  return Buffer.concat([
    length,
    bytes,
    Buffer.alloc(Math.ceil(bytes.length / 8) * 8 - bytes.length),
  ])
}

/** Strings of a NAR, one after the other. */
export function narStrings(...values: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(values.map((value) => narString(value)))
}

/** A tree as a NAR. */
export function writeNar(tree: Tree): Buffer {
  return Buffer.concat([narString('nix-archive-1'), writeNode(tree)])
}

/** A tree as a node of a NAR. */
export function writeNode(tree: Tree): Buffer {
  switch (tree.type) {
    case 'regular': {
      const mark = tree.executable ? ['executable', ''] : []
      return narStrings('(', 'type', 'regular', ...mark, 'contents', tree.contents, ')')
    }
    case 'symlink':
      return narStrings('(', 'type', 'symlink', 'target', tree.target, ')')
    case 'directory':
      return Buffer.concat([
        narStrings('(', 'type', 'directory'),
        ...sortEntries(tree.entries).map(([name, node]) => writeEntry(name, writeNode(node))),
        narString(')'),
      ])
  }
}

/** A directory's entry of that name with a node that has been written. */
export function writeEntry(name: string | Uint8Array, node: Uint8Array): Buffer {
  return Buffer.concat([narStrings('entry', '(', 'name', name, 'node'), node, narString(')')])
}

/** Entries in the order that a NAR demands: that of the names' bytes. */
export function sortEntries(entries: readonly (readonly [string, Tree])[]) {
  return [...entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}
