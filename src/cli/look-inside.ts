import type { ListedPath, StoredFiles } from '../admin/stored-files.ts'
import { askStatus } from '../control/control-client.ts'
import { openControlFiles } from '../control/control-files.ts'
import {
  type ListingNode,
  type Lookup,
  lookUp,
  type LookupOptions,
  parseNarListing,
} from '../nix/listing-lookup.ts'
import { openOfflineFiles } from '../offline-files.ts'
import type { StoreDir } from '../nix/store-path.ts'
import { nearestName } from '../settings/nearest-name.ts'
import { type CommandInput, UsageError } from './command.ts'
import { createCommandLog } from './command-log.ts'
import { type InnerPath, parseInnerPath } from './inner-path.ts'

/** What stands at a place in a store path; `at` is where, as a full path with its symlinks resolved. */
export type Inside = {
  readonly listed: ListedPath
  readonly node: ListingNode
  readonly at: string
  readonly isRoot: boolean
}

/** What is not at a place where it was looked for; the message is for people. */
export class NoSuchFileError extends Error {
  override readonly name = 'NoSuchFileError'
}

export type LookInput = Pick<CommandInput, 'world' | 'version' | 'operands' | 'load'>

/** Looks at the place that the only operand names, in the store of the running Weir or, where none runs, in the folders themselves. */
export async function lookInside(
  { world, version, operands, load }: LookInput,
  last: LookupOptions['last'],
  show: (inside: Inside, files: StoredFiles) => Promise<void>,
): Promise<number> {
  const [operand, ...more] = operands
  if (operand === undefined || more.length > 0) throw new UsageError('takes one path')
  const { settings } = await load()
  const { storeDir } = settings.server
  const asked = parseInnerPath(operand, storeDir)
  const log = createCommandLog(world)
  const isRunning = (await askStatus(settings.state.dir)) !== null
  await using files = isRunning
    ? openControlFiles(settings.state.dir)
    : await openOfflineFiles({ settings, version, log })
  const listed = await files.list(asked.hash, new AbortController().signal)
  await show(find(listed, asked, storeDir, last), files)
  return 0
}

function find(
  listed: ListedPath,
  { hash, name, names }: InnerPath,
  storeDir: StoreDir,
  last: LookupOptions['last'],
): Inside {
  const { baseName, listing } = listed
  if (name !== null && `${hash}-${name}` !== baseName) {
    throw new NoSuchFileError(`${hash}-${name} is not stored: ${hash} is ${baseName}`)
  }
  const storePath = `${storeDir}/${baseName}`
  const found = lookUp(parseNarListing(listing), names, { storePath, last })
  const at = [storePath, ...found.path].join('/')
  if (found.kind !== 'found') throw new NoSuchFileError(describe(found, at))
  return { listed, node: found.node, at, isRoot: found.path.length === 0 }
}

function describe(found: Exclude<Lookup, { readonly kind: 'found' }>, at: string): string {
  switch (found.kind) {
    case 'missing': {
      const near = nearestName(found.name, found.names)
      const hint = near === null ? '' : `; did you mean ${near}?`
      return `there is no ${found.name} in ${at}${hint}`
    }
    case 'not-a-directory':
      return `${at} is not a directory`
    case 'outside':
      return `${at} leads out of this path: to ${found.target}`
    case 'endless':
      return `${at} leads along too many symlinks`
  }
}
