import {
  parseBaseName,
  parseStorePathHash,
  type StoreDir,
  type StorePathHash,
} from '../nix/store-path.ts'
import type { Settings } from '../settings/settings.ts'
import { type CommandInput, UsageError } from './command.ts'

/** What an operand names; `name` is `null` where it is only a hash. */
export type PathOperand = { readonly hash: StorePathHash; readonly name: string | null }

/** Reads a hash, `<hash>-<name>`, or a store path, as a whole or with what lies below it. */
export function parsePathOperand(text: string, storeDir: StoreDir): PathOperand {
  const isBelow = text.startsWith(`${storeDir}/`)
  const [first = ''] = isBelow ? text.slice(storeDir.length + 1).split('/') : [text]
  const path = parseBaseName(first)
  if (path !== null) return path
  const hash = parseStorePathHash(first)
  if (hash !== null) return { hash, name: null }
  throw new UsageError(
    `"${text}" is no path below ${storeDir}, no <hash>-<name> and no hash of 32 characters (nix32: no e, o, t, u)`,
  )
}

/** The settings, and what each operand of a command names that takes at least one. */
export async function loadWithPaths({
  operands,
  load,
}: Pick<CommandInput, 'operands' | 'load'>): Promise<{
  readonly settings: Settings
  readonly paths: readonly PathOperand[]
}> {
  if (operands.length === 0) throw new UsageError('takes at least one path or hash')
  const { settings } = await load()
  const { storeDir } = settings.server
  return { settings, paths: operands.map((operand) => parsePathOperand(operand, storeDir)) }
}
