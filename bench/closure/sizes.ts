import { gaussian, type Random } from './random.ts'

export type SizesOptions = {
  readonly count: number
  readonly totalBytes: number
  readonly largestBytes: number
}

/** How far sizes spread: with 2.2 the median is a tenth of the mean, as in closures of real programs. */
const deviation = 2.2
const smallestBytes = 1024

/** Sizes of NARs that make up about `totalBytes`: many small ones, a few large ones, none above `largestBytes`. */
export function longTailedSizes(random: Random, options: SizesOptions): readonly number[] {
  const { count, totalBytes, largestBytes } = options
  let sizes = Array.from({ length: count }, () => Math.exp(deviation * gaussian(random)))
  // What the largest lose goes to the others, which may then be too large themselves.
  for (let round = 0; round < 20; round++) {
    const scale = totalBytes / sizes.reduce((sum, size) => sum + size, 0)
    sizes = sizes.map((size) => Math.min(largestBytes, size * scale))
  }
  return sizes.map((size) => Math.max(smallestBytes, Math.floor(size)))
}
