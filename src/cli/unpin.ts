import type { Command } from './command.ts'
import { loadWithPaths } from './path-operand.ts'
import { pinningFor } from './pinning-for.ts'

/** `weir unpin` */
export const unpinCommand: Command = {
  summary: 'let go of what was pinned',
  help: `Takes pins back: what no other pin needs may be evicted again, when room is wanted and it is what was used longest ago.
Exit status 1 where one of the paths was not pinned.`,
  operands: 'PATH | HASH …',
  options: {},
  flags: {},
  async run({ world, operands, load }) {
    const { settings, paths } = await loadWithPaths({ operands, load })
    await using pinning = await pinningFor(world, settings)
    let unknown = 0
    for (const [index, { hash }] of paths.entries()) {
      const path = await pinning.unpin(hash)
      if (path !== null) {
        world.out(`${path}: not pinned any more\n`)
      } else {
        unknown += 1
        world.err(`weir: ${operands[index] ?? hash}: is not pinned; weir pins lists what is\n`)
      }
    }
    return unknown === 0 ? 0 : 1
  },
}
