/** How long things took, for each step of time: counted in a few classes, each a fifth longer than the one before. */
export type LatencySteps = {
  add(slot: number, seconds: number): void
  clear(slot: number): void
  /** What the share `quantile` of a step took at most, in milliseconds; `null` where there was nothing. Within a tenth. */
  quantileMs(slot: number, quantile: number): number | null
}

const shortestMs = 0.02
const growth = 1.2
const logGrowth = Math.log(growth)
/** Up to 40 seconds; what takes longer is in the last class. */
const classes = 80

/** Room for so many steps. */
export function createLatencySteps(slots: number): LatencySteps {
  const counts = new Uint32Array(slots * classes)
  return {
    add(slot, seconds) {
      const index = slot * classes + classOf(seconds * 1000)
      counts[index] = (counts[index] ?? 0) + 1
    },
    clear(slot) {
      counts.fill(0, slot * classes, (slot + 1) * classes)
    },
    quantileMs(slot, quantile) {
      const step = counts.subarray(slot * classes, (slot + 1) * classes)
      const total = step.reduce((sum, count) => sum + count, 0)
      if (total === 0) return null
      let left = Math.max(1, Math.ceil(total * quantile))
      const found = step.findIndex((count) => (left -= count) <= 0)
      return middleMs(found)
    },
  }
}

function classOf(ms: number): number {
  if (!(ms > shortestMs)) return 0
  return Math.min(classes - 1, Math.ceil(Math.log(ms / shortestMs) / logGrowth))
}

function middleMs(index: number): number {
  return shortestMs * growth ** (index - 0.5)
}
