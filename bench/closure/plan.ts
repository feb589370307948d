import { createHash } from 'node:crypto'
import { encodeNix32 } from '../../src/nix/nix32.ts'
import { parseBaseName, type StorePath } from '../../src/nix/store-path.ts'
import { type PoolFile, pickFiles } from './file-pool.ts'
import { createRandom, wholeNumber, type Random } from './random.ts'
import { longTailedSizes, type SizesOptions } from './sizes.ts'

export type ClosureOptions = SizesOptions & { readonly seed: number }

/** A path that is to be made: its content, and the paths that it refers to. */
export type PlannedPath = {
  readonly storePath: StorePath
  readonly files: readonly PoolFile[]
  readonly references: readonly StorePath[]
}

/** How far apart in the list two paths may be of which one refers to the other: it gives the closure its depth. */
const reach = 25
const maxFurtherReferences = 8

/** The paths of one closure; the first is its root, and each refers only to itself and to later ones. */
export function planClosure(
  pool: readonly PoolFile[],
  options: ClosureOptions,
): readonly PlannedPath[] {
  const random = createRandom(options.seed)
  const sizes = longTailedSizes(random, options)
  const storePaths = sizes.map((_, index) => storePathOf(options.seed, index))
  const references = linkPaths(random, sizes.length)
  return sizes.map((size, index) => ({
    storePath: at(storePaths, index),
    files: pickFiles(random, pool, size),
    references: [...at(references, index)].map((other) => at(storePaths, other)),
  }))
}

function linkPaths(random: Random, count: number): readonly ReadonlySet<number>[] {
  const references = Array.from({ length: count }, () => new Set<number>())
  for (let index = 0; index < count; index++) {
    // One path before it refers to it, so that the root reaches everything.
    if (index > 0) references[wholeNumber(random, Math.max(0, index - reach), index)]?.add(index)
    const further = wholeNumber(random, 0, maxFurtherReferences)
    for (let n = 0; n < further; n++) {
      const other = wholeNumber(random, index, Math.min(count, index + 2 * reach))
      references[index]?.add(other)
    }
  }
  return references
}

function storePathOf(seed: number, index: number): StorePath {
  const digest = createHash('sha256').update(`weir bench ${seed} ${index}`).digest()
  const path = parseBaseName(`${encodeNix32(digest.subarray(0, 20))}-bench-${index}.${seed}`)
  if (path === null) throw new TypeError('the bench made a malformed store path')
  return path
}

function at<T>(list: readonly T[], index: number): T {
  const value = list[index]
  if (value === undefined) throw new RangeError(`there is no element ${index}`)
  return value
}
