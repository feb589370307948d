import { z } from 'zod'
import { formatHash, parseHash } from '../nix/hash.ts'
import {
  parseBaseName,
  parseStoreDir,
  parseStorePathHash,
  type StoreDir,
} from '../nix/store-path.ts'
import { type Block, type Blocked } from '../policy/block.ts'
import { type Conflict } from './conflict.ts'
import { quote } from './describe-found.ts'
import { listField, textField } from './fields.ts'
import { packageField } from './package-field.ts'
import { publicKeyField } from './public-key-field.ts'

const PATH_ALLOWED = 'a store path, "<hash>-<name>", with or without its store directory'
const HASH_ALLOWED = 'the hash of a store path: 32 characters of nix32'
const VERSION_ALLOWED = 'a version as it follows the package\'s name, such as "5.6.0"'
const NAR_HASH_ALLOWED = 'the SHA-256 of a NAR, such as "sha256:<nix32>" or "sha256-<base64>"'
const REASON_ALLOWED = 'a reason, for those whose build it stops'

/** Store directories are shown whole, since two that differ only at their ends would look the same. */
const MAX_STORE_DIR = 1024

/** The keys of which a block has exactly one. */
const SUBJECTS = ['path', 'hash', 'package', 'key', 'nar_hash'] as const

const blockTable = z
  .strictObject(
    {
      path: textField(PATH_ALLOWED, parseAnyStorePath)
        .optional()
        .describe('One store path, `<hash>-<name>` or as a whole.'),
      hash: textField(HASH_ALLOWED, parseStorePathHash)
        .optional()
        .describe('The hash of a store path, whatever its name.'),
      package: packageField({ sets: false })
        .optional()
        .describe('A package, literally: all of its versions, or those of `versions`.'),
      versions: listField(textField(VERSION_ALLOWED, parseVersion), 'a list of versions')
        .min(1, { error: 'at least one version; without versions, all of them' })
        .optional()
        .describe('Versions of the package, each also as continued by `-`, `.drv` or `.tar`.'),
      key: publicKeyField()
        .optional()
        .describe('A public key: by its bytes, whatever its name; it never counts.'),
      nar_hash: textField(NAR_HASH_ALLOWED, parseNarHash)
        .optional()
        .describe('The SHA-256 of a NAR, in any of the ways that Nix writes it.'),
      reason: textField(REASON_ALLOWED, (text) => (text.trim() === '' ? null : text)).describe(
        'Why, for those whose build it stops.',
      ),
    },
    { error: 'a table [[block]]' },
  )
  .describe('A recall: never served, whoever vouches for it.')

/** A block as it is written: checked, except for the store directory of its path. */
export type WrittenBlock = {
  readonly block: Block
  /** With which store directory its path was written; null for none. */
  readonly dir: string | null
}

/** The blocks as they are written; none by default. */
export const blocksField = z
  .array(blockTable.transform(readBlock), {
    error: 'a list of tables: each is headed [[block]], in double brackets',
  })
  .prefault([])
  .describe('What is recalled: never served, whoever vouches for it.')

/** The blocks of which the path is not in the clients' store, and so would never be asked for. */
export function checkBlockPaths(
  blocks: readonly WrittenBlock[],
  storeDir: StoreDir,
): readonly Conflict[] {
  return blocks.flatMap(({ dir }, index) => {
    if (dir === null || dir === storeDir) return []
    const found = `a path below ${quote(dir, MAX_STORE_DIR)}`
    return [
      {
        path: ['block', index, 'path'],
        found,
        allowed: `one below ${quote(storeDir, MAX_STORE_DIR)}, server.store_dir`,
      },
    ]
  })
}

function readBlock(
  written: z.output<typeof blockTable>,
  context: z.core.$RefinementCtx,
): WrittenBlock {
  const subjects = SUBJECTS.filter((key) => written[key] !== undefined)
  const blocked = subjects.length === 1 ? toBlocked(written) : null
  if (blocked === null) {
    const found = subjects.length === 0 ? 'nothing that is blocked' : subjects.join(' and ')
    const message = `exactly one of ${SUBJECTS.join(', ')}`
    context.addIssue({ code: 'custom', message, params: { found } })
    return z.NEVER
  }
  if (written.versions !== undefined && blocked.kind !== 'package') {
    const message = 'versions besides package, and nothing else'
    const params = { found: `versions besides ${subjects.join()}` }
    context.addIssue({ code: 'custom', path: ['versions'], message, params })
    return z.NEVER
  }
  return { block: { blocked, reason: written.reason }, dir: written.path?.dir ?? null }
}

function toBlocked(written: z.output<typeof blockTable>): Blocked | null {
  const { path, hash, package: name, versions = null, key, nar_hash: narHash } = written
  if (path !== undefined) return { kind: 'path', baseName: path.baseName }
  if (hash !== undefined) return { kind: 'hash', hash }
  if (name !== undefined) return { kind: 'package', package: name, versions }
  if (key !== undefined) return { kind: 'key', key }
  if (narHash !== undefined) return { kind: 'nar-hash', narHash }
  return null
}

function parseAnyStorePath(text: string) {
  const slash = text.lastIndexOf('/')
  const path = parseBaseName(text.slice(slash + 1))
  const dir = slash === -1 ? null : parseStoreDir(text.slice(0, slash))
  const isPath = path !== null && (slash === -1 || dir !== null)
  return isPath ? { baseName: path.baseName, dir } : null
}

/** A version begins with something other than a letter: anything else would never match, and recall nothing. */
function parseVersion(text: string): string | null {
  return /^[0-9+._?=-][0-9a-zA-Z+._?=-]{0,210}$/.test(text) ? text : null
}

/** With or without its algorithm: `nix hash path` and `nix-hash` write some forms without. */
function parseNarHash(text: string): string | null {
  const hash = parseHash(text) ?? parseHash(`sha256:${text}`)
  return hash?.algorithm === 'sha256' ? formatHash(hash) : null
}
