/**
 * A file of blocks that Weir keeps itself: TOML, the [[block]] tables of a configuration and nothing else.
 *
 *   [[block]]
 *   package = "xz"
 *   versions = ["5.6.0", "5.6.1"]
 *   reason = "CVE-2024-3094"
 */
import { stringify } from 'smol-toml'
import { z } from 'zod'
import { formatPublicKey } from '../nix/signature.ts'
import { type StoreDir } from '../nix/store-path.ts'
import type { Block, Blocked } from '../policy/block.ts'
import { blocksField, checkBlockPaths } from './block-field.ts'
import type { Place } from './draft.ts'
import { issueProblems } from './issue-problems.ts'
import { type JsonSchema, tableKeys } from './json-schema.ts'
import { formatKeyPath, type KeyPath } from './key-path.ts'
import { type ConfigFile, parseToml } from './read-config-file.ts'
import { SettingsError } from './settings-error.ts'

const fileSchema = z.strictObject({ block: blocksField }, { error: 'a list of [[block]] tables' })

/** The blocks in a file's text; throws SettingsError, with `source` as the file that is to blame. */
export function readBlocks(text: string, source: string, storeDir: StoreDir): readonly Block[] {
  const file = parseToml(text, source)
  return checked(file.document, (path) => placeIn(file, path), storeDir)
}

/** The block in an object with the fields of a `[[block]]` table; throws SettingsError, with `source` as what is to blame. */
export function readBlock(fields: unknown, source: string, storeDir: StoreDir): Block {
  const placeOf = (path: KeyPath): Place => {
    const key = path.slice(2)
    return { source, key: key.length === 0 ? null : formatKeyPath(key), line: null }
  }
  const [block] = checked({ block: [fields] }, placeOf, storeDir)
  if (block === undefined) throw new Error('a list of one block has one')
  return block
}

function checked(
  document: unknown,
  placeOf: (path: KeyPath) => Place,
  storeDir: StoreDir,
): readonly Block[] {
  const result = fileSchema.safeParse(document)
  if (!result.success) {
    const schema = z.toJSONSchema(fileSchema, { io: 'input' }) as JsonSchema
    const names = {
      keysOf: (path: KeyPath) => tableKeys(schema, path),
      elsewhere: () => null,
    }
    const written = { document, placeOf }
    throw new SettingsError('invalid', issueProblems(result.error.issues, written, names))
  }
  const foreign = checkBlockPaths(result.data.block, storeDir)
  if (foreign.length > 0) {
    const problems = foreign.map(({ path, ...words }) => ({
      ...placeOf(path),
      ...words,
      nearest: null,
    }))
    throw new SettingsError('invalid', problems)
  }
  return result.data.block.map(({ block }) => block)
}

/** The text that `readBlocks` reads as exactly these blocks, for every store directory. */
export function formatBlocks(blocks: readonly Block[]): string {
  const tables = blocks.map(({ blocked, reason }) => ({ ...formatBlocked(blocked), reason }))
  return stringify({ block: tables })
}

function formatBlocked(blocked: Blocked): Readonly<Record<string, string | readonly string[]>> {
  switch (blocked.kind) {
    case 'path':
      return { path: blocked.baseName }
    case 'hash':
      return { hash: blocked.hash }
    case 'package': {
      const { package: name, versions } = blocked
      return versions === null ? { package: name } : { package: name, versions }
    }
    case 'key':
      return { key: formatPublicKey(blocked.key) }
    case 'nar-hash':
      return { nar_hash: blocked.narHash }
  }
}

/** A key that is missing is to blame on its table. */
function placeIn({ path: source, lineOf }: ConfigFile, path: KeyPath): Place {
  const key = path.length === 0 ? null : formatKeyPath(path)
  return { source, key, line: lineOf(path) ?? lineOf(path.slice(0, -1)) }
}
