import {
  parseBaseName,
  parseStorePathHash,
  type StoreDir,
  type StorePathHash,
} from '../nix/store-path.ts'
import { UsageError } from './command.ts'

/** The hash that an operand means: a hash, `<hash>-<name>`, or a store path, as a whole or with what lies below it. */
export function parsePathOperand(text: string, storeDir: StoreDir): StorePathHash {
  const isBelow = text.startsWith(`${storeDir}/`)
  const [first = ''] = isBelow ? text.slice(storeDir.length + 1).split('/') : [text]
  const hash = parseStorePathHash(first) ?? parseBaseName(first)?.hash
  if (hash !== undefined) return hash
  throw new UsageError(
    `"${text}" is no path below ${storeDir}, no <hash>-<name> and no hash of 32 characters (nix32: no e, o, t, u)`,
  )
}
