import { type Command } from './command.ts'
import { lookInside, NoSuchFileError } from './look-inside.ts'

/** `weir cat` */
export const catCommand: Command = {
  summary: 'print a file from inside of a stored path',
  help: `Prints a file as it is in a stored NAR, byte for byte, without unpacking anything into a Nix store:

  weir cat /nix/store/<hash>-hello-2.12/bin/hello > hello

The Weir that runs on the configured state folder is asked; where none runs, its folders are read. Symlinks are followed as long
as they stay inside of the path. Nothing is fetched: a path that is not stored is an error, and so is one that is not trusted now.`,
  operands: 'PATH/FILE',
  options: {},
  flags: {},
  run: (input) =>
    lookInside(input, 'follow', async ({ listed, node, at }, files) => {
      if (node.type !== 'regular') {
        throw new NoSuchFileError(`${at} is a directory: weir tree lists it`)
      }
      const part = { offset: node.narOffset, size: node.size }
      const bytes = await files.read(listed.key, part, new AbortController().signal)
      for await (const piece of bytes) await input.world.write(piece)
    }),
}
