import type { StoreDir } from '../nix/store-path.ts'
import { type PathOperand, parsePathOperand } from './path-operand.ts'

/** A place in a store path: the names that lead there, none for the path itself. */
export type InnerPath = PathOperand & { readonly names: readonly string[] }

/** Reads a store path, `<hash>-<name>` or a hash, with what follows behind a slash; a `UsageError` for anything else. */
export function parseInnerPath(text: string, storeDir: StoreDir): InnerPath {
  const isBelow = text.startsWith(`${storeDir}/`)
  const [first = '', ...names] = (isBelow ? text.slice(storeDir.length + 1) : text).split('/')
  const path = parsePathOperand(isBelow || first === '' ? text : first, storeDir)
  return { ...path, names: names.filter((name) => name !== '' && name !== '.') }
}
