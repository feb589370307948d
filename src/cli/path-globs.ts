import type { StoreDir } from '../nix/store-path.ts'
import type { PathSelection } from '../upkeep/select-paths.ts'

/** Operands as globs: a store path, as a whole or with what lies below it, stands for its `<hash>-<name>`. */
export function pathGlobs(operands: readonly string[], storeDir: StoreDir): PathSelection {
  return operands.map((operand) =>
    operand.startsWith(`${storeDir}/`)
      ? (operand.slice(storeDir.length + 1).split('/')[0] ?? operand)
      : operand,
  )
}
