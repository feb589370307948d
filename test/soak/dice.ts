import { random } from '../fakes/encode-nar.ts'

/** Choices that look random, the same for the same seed. */
export type Dice = {
  /** A whole number from 0 up to but not including `limit`. */
  readonly below: (limit: number) => number
  readonly pick: <T>(list: readonly [T, ...T[]]) => T
  /** Dice of their own, so that what runs side by side does not change each other's choices. */
  readonly split: () => Dice
}

export function createDice(seed: number): Dice {
  const next = random(seed)
  const below = (limit: number) => Math.floor((next() / 2 ** 32) * limit)
  return {
    below,
    pick: ([first, ...others]) => [first, ...others][below(others.length + 1)] ?? first,
    split: () => createDice(next()),
  }
}
