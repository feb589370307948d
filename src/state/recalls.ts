import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { StoreDir } from '../nix/store-path.ts'
import type { Block } from '../policy/block.ts'
import { formatBlocks, readBlocks } from '../settings/block-schema.ts'
import { replacePrivateFile } from './replace-private-file.ts'

/** The recalls that Weir keeps itself, in a file of `[[block]]` tables like a configuration's. */
export type Recalls = {
  blocks(): readonly Block[]
  /**
   * Holds at once, and is durable when it resolves; to false where the same was recalled already. A rejection means that it is not
   * durable: it holds in memory, and the next call writes it.
   */
  add(block: Block): Promise<boolean>
  /** Takes one back; false where there was none. Where that cannot be made durable it holds again, and the promise rejects. */
  lift(block: Block): Promise<boolean>
}

const header =
  '# What weir recall wrote, and weir recall --lift takes back: see [[block]] in the documentation.\n\n'

/** Opens the file, which need not exist yet; one that is damaged throws a `SettingsError` with the place. */
export async function openRecalls(file: string, storeDir: StoreDir): Promise<Recalls> {
  let blocks = readBlocks(await readExisting(file), file, storeDir)
  const save = createSaver(file, blocks, () => blocks)
  const has = (block: Block): boolean => blocks.some((other) => isSame(other, block))
  return {
    blocks: () => blocks,
    async add(block) {
      const isNew = !has(block)
      if (isNew) blocks = [...blocks, block]
      await save()
      return isNew
    },
    async lift(block) {
      const lifted = blocks.filter((other) => isSame(other, block))
      if (lifted.length > 0) blocks = blocks.filter((other) => !isSame(other, block))
      try {
        await save()
      } catch (error) {
        // What could not be taken back for good still holds, beside what was recalled meanwhile.
        blocks = [...blocks, ...lifted.filter((other) => !has(other))]
        throw error
      }
      return lifted.length > 0
    },
  }
}

/** Saves the blocks of when its turn comes, one after the other; what the file has already is not written again. */
function createSaver(
  file: string,
  initial: readonly Block[],
  blocks: () => readonly Block[],
): () => Promise<void> {
  let saved: readonly Block[] | null = initial
  let last: Promise<void> = Promise.resolve()
  const saveNow = async (): Promise<void> => {
    const now = blocks()
    if (now === saved) return
    // Where writing fails, nobody knows what the file has.
    saved = null
    await replacePrivateFile(file, header + formatBlocks(now))
    saved = now
  }
  return () => {
    // The failure of an earlier turn is told to whoever asked for it.
    last = last.then(saveNow, saveNow)
    return last
  }
}

function isSame(one: Block, other: Block): boolean {
  return isDeepStrictEqual(plain(one.blocked), plain(other.blocked))
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
