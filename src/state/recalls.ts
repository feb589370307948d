import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { StoreDir } from '../nix/store-path.ts'
import type { Block } from '../policy/block.ts'
import { formatBlocks, readBlocks } from '../settings/block-schema.ts'
import { replacePrivateFile } from './replace-private-file.ts'

/** The recalls that Weir keeps itself, in a file of `[[block]]` tables like a configuration's. */
export type Recalls = {
  blocks(): readonly Block[]
  /** Holds at once, and is durable when it resolves; false where the same was recalled already. */
  add(block: Block): Promise<boolean>
  /** Takes one back; false where there was none. */
  lift(block: Block): Promise<boolean>
}

const header =
  '# What weir recall wrote, and weir recall --lift takes back: see [[block]] in the documentation.\n\n'

/** Opens the file, which need not exist yet; one that is damaged throws a `SettingsError` with the place. */
export async function openRecalls(file: string, storeDir: StoreDir): Promise<Recalls> {
  let blocks = readBlocks(await readExisting(file), file, storeDir)
  let written: Promise<void> = Promise.resolve()
  const write = (): Promise<void> => {
    const text = header + formatBlocks(blocks)
    written = written.catch(() => undefined).then(() => replacePrivateFile(file, text))
    return written
  }
  const has = (block: Block): boolean =>
    blocks.some(({ blocked }) => isDeepStrictEqual(plain(blocked), plain(block.blocked)))
  return {
    blocks: () => blocks,
    async add(block) {
      if (has(block)) return false
      blocks = [...blocks, block]
      await write()
      return true
    },
    async lift(block) {
      if (!has(block)) return false
      const isSame = ({ blocked }: Block): boolean =>
        isDeepStrictEqual(plain(blocked), plain(block.blocked))
      const lifted = blocks.filter(isSame)
      blocks = blocks.filter((other) => !isSame(other))
      try {
        await write()
      } catch (error) {
        // What could not be taken back for good still holds.
        blocks = [...blocks.filter((other) => !isSame(other)), ...lifted]
        throw error
      }
      return true
    },
  }
}

/** Blocks are the same where they are of the same, whatever the reason; a key is its bytes. */
function plain(blocked: Block['blocked']): unknown {
  return blocked.kind === 'key' ? { kind: 'key', bytes: [...blocked.key.bytes] } : blocked
}

async function readExisting(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
