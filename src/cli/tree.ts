import type { ListingNode } from '../nix/listing-lookup.ts'
import type { Command } from './command.ts'
import { type Inside, lookInside } from './look-inside.ts'

/** `weir tree` */
export const treeCommand: Command = {
  summary: 'list what is inside of a stored path',
  help: `Lists the files in a stored NAR, or in a folder of it, as nix store ls -lR does: what each is (d a directory, x executable, l a
symlink, which is shown and not followed), its bytes, its name.

  weir tree /nix/store/<hash>-hello-2.12
  weir tree /nix/store/<hash>-hello-2.12/share/man

The Weir that runs on the configured state folder is asked; where none runs, its folders are read. Nothing is fetched: a path that
is not stored is an error, and so is one that is not trusted now.`,
  operands: 'PATH[/FOLDER]',
  options: {},
  flags: { json: 'print the .ls file: JSON, with the offset of each file in the NAR' },
  run: (input) =>
    lookInside(input, 'stay', async (inside) => {
      if (input.flags.has('json')) input.world.out(`${jsonOf(inside)}\n`)
      else input.world.out(formatTree(inside.node))
      return Promise.resolve()
    }),
}

/** The whole listing as it is served, or that of a part. */
function jsonOf({ listed, node, isRoot }: Inside): string {
  if (isRoot) return new TextDecoder().decode(listed.listing)
  return JSON.stringify({ version: 1, root: node })
}

/** One line for each node, those of a directory below it. */
export function formatTree(root: ListingNode): string {
  const rows = [...walk(root, '.')]
  const width = Math.max(...rows.map(({ size }) => String(size).length))
  return rows
    .map(({ mode, size, name }) => `${mode} ${String(size).padStart(width)} ${name}\n`)
    .join('')
}

type Row = { readonly mode: string; readonly size: number; readonly name: string }

function* walk(node: ListingNode, name: string): Generator<Row> {
  const shown = printable(name)
  switch (node.type) {
    case 'regular': {
      const mode = node.executable === true ? '-r-xr-xr-x' : '-r--r--r--'
      yield { mode, size: node.size, name: shown }
      return
    }
    case 'symlink':
      yield { mode: 'lrwxrwxrwx', size: 0, name: `${shown} -> ${printable(node.target)}` }
      return
    case 'directory':
      yield { mode: 'dr-xr-xr-x', size: 0, name: shown }
      // JSON.parse moves names that are numbers to the front.
      for (const [below, child] of Object.entries(node.entries).toSorted(byName)) {
        yield* walk(child, `${name}/${below}`)
      }
  }
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}

/** A name that does nothing to the terminal: control characters are written as `\u{…}`. */
function printable(name: string): string {
  return name.replaceAll(
    /\p{C}/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
