import type { Hedging } from '../../src/ports/hedging.ts'

/** Nobody is ever slow. */
export const noHedging: Hedging = {
  asked: () => undefined,
  took: () => undefined,
  isSlow: () => Promise.resolve(false),
}
